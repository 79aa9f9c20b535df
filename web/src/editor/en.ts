import type { zh } from './zh';

/** The words of editor/, in English. */
export const en = {
  'editor.title': 'Code',
} satisfies Record<keyof typeof zh, string>;
