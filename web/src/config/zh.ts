/** The words of config/, in Chinese. */
export const zh = {
  'config.title': '配置',
} as const;
