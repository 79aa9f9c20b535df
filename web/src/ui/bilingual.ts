/** Texts that carry both languages: `搜索本机的文件 · Searches the files of this machine`. */

import type { Language } from '../api/model';

const SEPARATOR = ' · ';
const CHINESE = /[\u3400-\u9fff]/;

/** The reader's half of a text that is Chinese before a middle dot and something else behind it; else all of it. */
export function half(text: string, language: Language): string {
  const parts = text.split(SEPARATOR);
  // Either half may have dots of its own: the languages meet where the Chinese ends.
  const meeting = parts.findLastIndex((part) => CHINESE.test(part)) + 1;
  if (meeting === 0 || meeting === parts.length || !CHINESE.test(parts[0] ?? '')) return text;
  return (language === 'zh' ? parts.slice(0, meeting) : parts.slice(meeting)).join(SEPARATOR);
}
