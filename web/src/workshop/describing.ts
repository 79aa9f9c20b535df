/** Texts that bundled plugins give as "中文 · English". */

import type { Language } from '../api/model';

const HAN = /\p{Script=Han}/u;

/** The reader's half of a description that has both languages, else all of it. */
export function readersHalf(text: string, language: Language): string {
  const halves = text.split(' · ');
  if (halves.length !== 2) return text;
  const [first = '', second = ''] = halves;
  if (!HAN.test(first) || HAN.test(second)) return text;
  return language === 'zh' ? first : second;
}
