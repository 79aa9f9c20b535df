/** Numbers and times as people read them. */

import type { Language } from '../api/model';

const LOCALES: Record<Language, string> = { zh: 'zh-CN', en: 'en-GB' };
/** Made once: every row of a list asks every second. */
const RELATIVE: Record<Language, Intl.RelativeTimeFormat> = {
  zh: new Intl.RelativeTimeFormat(LOCALES.zh, { style: 'short' }),
  en: new Intl.RelativeTimeFormat(LOCALES.en, { style: 'short' }),
};
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Clocks of server and browser differ a little; what seems to lie ahead has just happened. */
const NOW_SECONDS = 3;

/** `4.1 ms`, `152 ms`, `1.3 s`, `2 min 5 s`. */
export function formatMs(ms: number): string {
  if (ms < 0.95) return `${Math.max(ms, 0.01).toFixed(2)} ms`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** `just now`, `12 seconds ago`, `3 minutes ago`; older than a week, the date. */
export function formatRelative(at: string, now: number, language: Language): string {
  const seconds = (now - Date.parse(at)) / 1000;
  if (Number.isNaN(seconds)) return at;
  if (seconds < NOW_SECONDS) return language === 'zh' ? '刚刚' : 'just now';
  if (seconds > 7 * DAY) return new Date(at).toLocaleDateString(LOCALES[language]);
  if (seconds < MINUTE) return ago(Math.round(seconds), 'second', language);
  if (seconds < HOUR) return ago(Math.floor(seconds / MINUTE), 'minute', language);
  if (seconds < DAY) return ago(Math.floor(seconds / HOUR), 'hour', language);
  return ago(Math.floor(seconds / DAY), 'day', language);
}

function ago(count: number, unit: 'second' | 'minute' | 'hour' | 'day', language: Language): string {
  const text = RELATIVE[language].format(-count, unit);
  // The texts of this page set numbers apart from Chinese characters.
  return text.replace(/(\d)(?=\p{Script=Han})/u, '$1 ');
}

/** `a, b, c`, in Chinese `a、b、c`. */
export function listed(names: readonly string[], language: Language): string {
  return language === 'zh' ? names.join('、') : names.join(', ');
}

/** The time of day with milliseconds, `12:00:00.123`. */
export function formatClock(at: string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  const two = (value: number): string => String(value).padStart(2, '0');
  const milliseconds = String(date.getMilliseconds()).padStart(3, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

/** Date and time in full. */
export function formatFull(at: string, language: Language): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  return date.toLocaleString(LOCALES[language], { dateStyle: 'medium', timeStyle: 'medium' });
}

/** The day of a time, `27 Nov 2026`. */
export function formatDay(at: string, language: Language): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? at : date.toLocaleDateString(LOCALES[language], { dateStyle: 'medium' });
}
