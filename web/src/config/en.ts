import type { zh } from './zh';

/** The words of config/, in English. */
export const en = {
  'config.title': 'Configuration',
} satisfies Record<keyof typeof zh, string>;
