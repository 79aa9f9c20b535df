/** The words of editor/, in Chinese. */
export const zh = {
  'editor.title': '代码',
} as const;
