import type { zh } from './zh';

/** The words of a plugin's own page, in English. */
export const en = {
  'workshop.tabs': 'Pages of the plugin',
  'workshop.code': 'Code',
  'workshop.config': 'Configuration',
  'workshop.log': 'Log',
  'workshop.about': 'About',
} satisfies Record<keyof typeof zh, string>;
