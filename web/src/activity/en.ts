import type { zh } from './zh';

/** The words of activity/, in English. */
export const en = {
  'activity.title': 'Activity',
} satisfies Record<keyof typeof zh, string>;
