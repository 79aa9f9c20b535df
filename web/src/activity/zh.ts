/** The words of activity/, in Chinese. */
export const zh = {
  'activity.title': '动态',
} as const;
