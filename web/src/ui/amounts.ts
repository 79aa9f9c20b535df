/** Sizes, speeds and lengths of time as people read them. */

import type { Language } from '../api/model';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `512 B`, `1.5 MiB`, `120 GiB`. */
export function formatBytes(bytes: number): string {
  let size = Math.max(0, bytes);
  let unit = 0;
  while (size >= 1023.5 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 99.95 ? Math.round(size) : size.toFixed(1)} ${UNITS[unit]}`;
}

/** `1.5 MiB/s`. */
export function formatSpeed(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

const WORDS: Record<Language, Record<'d' | 'h' | 'min' | 's', string>> = {
  zh: { d: '天', h: '小时', min: '分', s: '秒' },
  en: { d: 'd', h: 'h', min: 'min', s: 's' },
};

/** `45 s`, `3 min 20 s`, `2 h 5 min`, `4 d 1 h`: never more than two units. */
export function formatSpan(seconds: number, language: Language): string {
  const whole = Math.max(0, Math.round(seconds));
  const words = WORDS[language];
  const join = (...parts: [number, 'd' | 'h' | 'min' | 's'][]): string =>
    parts
      .filter(([amount], index) => index === 0 || amount > 0)
      .map(([amount, unit]) => `${amount} ${words[unit]}`)
      .join(' ');
  if (whole < MINUTE) return join([whole, 's']);
  if (whole < HOUR) return join([Math.floor(whole / MINUTE), 'min'], [whole % MINUTE, 's']);
  if (whole < DAY) return join([Math.floor(whole / HOUR), 'h'], [Math.floor((whole % HOUR) / MINUTE), 'min']);
  return join([Math.floor(whole / DAY), 'd'], [Math.floor((whole % DAY) / HOUR), 'h']);
}

/** How long a film is: seconds as `1:23:45`, a text as it stands, anything else as nothing. */
export function formatLength(duration: unknown): string {
  if (typeof duration === 'string') return duration.trim();
  if (typeof duration !== 'number' || !Number.isFinite(duration) || duration <= 0) return '';
  const seconds = Math.round(duration);
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / MINUTE) % 60;
  const hours = Math.floor(seconds / HOUR);
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(seconds % MINUTE)}`
    : `${minutes}:${two(seconds % MINUTE)}`;
}
