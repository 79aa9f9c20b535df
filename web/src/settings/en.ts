import type { zh } from './zh';

/** The words of settings/, in English. */
export const en = {
  'settings.title': 'Settings',
} satisfies Record<keyof typeof zh, string>;
