/** The words of settings/, in Chinese. */
export const zh = {
  'settings.title': '设置',
} as const;
