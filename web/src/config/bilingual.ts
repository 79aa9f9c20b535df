/** Texts of plugins in two languages: `中文 · English`. */

import type { Language } from '../api/model';

const CHINESE = /[\u3400-\u9fff]/;

/** The half that is for the reader; all of it where the text is in one language. */
export function half(text: string, language: Language): string {
  for (let place = text.indexOf('·'); place >= 0; place = text.indexOf('·', place + 1)) {
    const chinese = text.slice(0, place).trim();
    const english = text.slice(place + 1).trim();
    if (english !== '' && CHINESE.test(chinese) && !CHINESE.test(english)) return language === 'zh' ? chinese : english;
  }
  return text;
}
