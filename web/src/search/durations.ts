/** How long something is, out of whatever a plugin wrote. */

const UNITS: Record<string, number> = { h: 3600, m: 60, s: 1, 时: 3600, 分: 60, 秒: 1 };

/**
 * A duration in seconds: a number, `1:23:45`, `45:00`, `PT1H23M`, `83 min`, `1h 23m`, `1小时23分钟`.
 *
 * @returns null where it cannot be told
 */
export function secondsOf(duration: unknown): number | null {
  if (typeof duration === 'number') return Number.isFinite(duration) && duration > 0 ? duration : null;
  if (typeof duration !== 'string' || duration.length > 100) return null;
  const text = duration.trim().toLowerCase();
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) || null;
  if (/^\d{1,3}(:[0-5]?\d){1,2}$/.test(text)) {
    return text.split(':').reduce((seconds, part) => seconds * 60 + Number(part), 0) || null;
  }
  let seconds = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*(h|m|s|小时|时|分|秒)/g)) {
    seconds += Number(amount) * (UNITS[unit?.slice(-1) ?? ''] ?? 0);
  }
  return seconds || null;
}
