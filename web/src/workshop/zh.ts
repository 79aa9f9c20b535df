/** The words of a plugin's own page, in Chinese. */
export const zh = {
  'workshop.tabs': '插件的页面',
  'workshop.code': '代码',
  'workshop.config': '配置',
  'workshop.log': '日志',
  'workshop.about': '信息',
} as const;
