/** Lines of plugins' logs: filtered, joined, written out. */

export const LEVELS = ['debug', 'info', 'warning', 'error', 'critical'] as const;
export type Level = (typeof LEVELS)[number];

/** How many lines the page keeps. */
export const LINE_LIMIT = 2_000;

/** A line, or a message of several lines such as a traceback. */
export interface LogLine {
  /** ISO 8601 with microseconds. */
  at: string;
  level: string;
  generation: number;
  message: string;
  /** `search/demo`. */
  plugin: string;
}

export interface LineFilter {
  /** The lowest level that is shown. */
  least: Level;
  words: string;
}

/** What tells a line from all others. */
export function identityOf({ at, plugin, message }: LogLine): string {
  return `${at} ${plugin} ${message}`;
}

/** Both, each once, oldest first, the newest `LINE_LIMIT`. */
export function joinedLines(known: readonly LogLine[], come: readonly LogLine[]): readonly LogLine[] {
  if (come.length === 0) return known;
  const newest = known.at(-1)?.at ?? '';
  // What comes live is newer than all before it; only what was asked for can overlap.
  if (come.every(({ at }, index) => at > (index === 0 ? newest : (come[index - 1]?.at ?? '')))) {
    return [...known, ...come].slice(-LINE_LIMIT);
  }
  const all = new Map<string, LogLine>();
  for (const line of [...known, ...come]) all.set(identityOf(line), line);
  return [...all.values()].sort((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0)).slice(-LINE_LIMIT);
}

/** The lines that the filter lets through. */
export function filteredLines(lines: readonly LogLine[], { least, words }: LineFilter): readonly LogLine[] {
  const lowest = LEVELS.indexOf(least);
  const wanted = words.trim().toLowerCase();
  if (lowest <= 0 && wanted === '') return lines;
  return lines.filter(
    ({ level, message, plugin }) =>
      rank(level) >= lowest &&
      (wanted === '' || message.toLowerCase().includes(wanted) || plugin.toLowerCase().includes(wanted)),
  );
}

/** A level that a newer server has is as good as information. */
function rank(level: string): number {
  const known = LEVELS.findIndex((one) => one === level);
  return known < 0 ? 1 : known;
}

/** A text in parts, those that are the words looked for among them. */
export function marked(text: string, words: string): { text: string; hit: boolean }[] {
  const wanted = words.trim().toLowerCase();
  if (wanted === '') return [{ text, hit: false }];
  const lower = text.toLowerCase();
  // Some letters change their length with their case; the places would be wrong then.
  if (lower.length !== text.length) return [{ text, hit: false }];
  const parts: { text: string; hit: boolean }[] = [];
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    if (at > from) parts.push({ text: text.slice(from, at), hit: false });
    from = at + wanted.length;
    parts.push({ text: text.slice(at, from), hit: true });
  }
  if (from < text.length || parts.length === 0) parts.push({ text: text.slice(from), hit: false });
  return parts;
}

/** The lines as the text of a file. */
export function writtenLines(lines: readonly LogLine[]): string {
  return lines
    .map(({ at, level, plugin, generation, message }) => `${at} ${level.toUpperCase()} ${plugin} #${generation} ${message}\n`)
    .join('');
}
