/** Texts that carry both languages: `搜索本机的文件 · Searches the files of this machine`. */

import type { Language } from '../api/model';

const CHINESE = /\p{Script=Han}/u;

/** The reader's half of a text that is Chinese before a middle dot and something else behind it; else all of it. */
export function half(text: string, language: Language): string {
  // Either half may have dots of its own: the languages meet where the Chinese ends.
  for (let dot = text.indexOf('·'); dot >= 0; dot = text.indexOf('·', dot + 1)) {
    const chinese = text.slice(0, dot).trim();
    const other = text.slice(dot + 1).trim();
    if (other === '' || !CHINESE.test(chinese.split('·', 1)[0] ?? '')) return text;
    if (!CHINESE.test(other)) return language === 'zh' ? chinese : other;
  }
  return text;
}
