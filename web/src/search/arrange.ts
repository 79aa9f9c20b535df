/** Which results are shown, and in which order. Pure. */

import type { Found } from './found';

export const SORTS = ['arrival', 'title', 'plugin', 'platform', 'duration'] as const;
export type Sort = (typeof SORTS)[number];

/** Up to 20 minutes, up to an hour, longer. */
export const LENGTHS = ['short', 'middle', 'long'] as const;
export type Length = (typeof LENGTHS)[number];

const SHORT_S = 20 * 60;
const MIDDLE_S = 60 * 60;

/** What is left of the results; an empty text stands for all. */
export interface Filter {
  words: string;
  platform: string;
  plugin: string;
  length: Length | '';
}

export const NO_FILTER: Filter = { words: '', platform: '', plugin: '', length: '' };

export function isFiltering({ words, platform, plugin, length }: Filter): boolean {
  return words.trim() !== '' || platform !== '' || plugin !== '' || length !== '';
}

export function lengthOf(seconds: number): Length {
  if (seconds <= SHORT_S) return 'short';
  return seconds <= MIDDLE_S ? 'middle' : 'long';
}

/** The results that fit the filter, in the order asked for; what the order cannot tell apart stays as it came. */
export function arranged(results: readonly Found[], filter: Filter, sort: Sort, language: string): Found[] {
  const wanted = filter.words.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = results.filter((found) => {
    const { title, description, platform, plugin, url, seconds } = found;
    if (filter.platform !== '' && platform !== filter.platform) return false;
    if (filter.plugin !== '' && plugin !== filter.plugin) return false;
    if (filter.length !== '' && (seconds === null || lengthOf(seconds) !== filter.length)) return false;
    if (wanted.length === 0) return true;
    const all = `${title}\n${description}\n${platform}\n${plugin}\n${url}`.toLowerCase();
    return wanted.every((word) => all.includes(word));
  });
  if (sort === 'arrival') return kept;
  if (sort === 'duration') {
    // The longest first; what has no duration comes last.
    return kept.sort((a, b) => (b.seconds ?? -1) - (a.seconds ?? -1) || a.key - b.key);
  }
  // Episode 2 comes before episode 10, and what has no platform last.
  const { compare } = new Intl.Collator(language, { numeric: true });
  return kept.sort(
    (a, b) => Number(a[sort] === '') - Number(b[sort] === '') || compare(a[sort], b[sort]) || a.key - b.key,
  );
}

/** What can be chosen to filter by. */
export interface Facets {
  platforms: string[];
  plugins: string[];
  lengths: Length[];
}

const PLATFORMS_MAX = 100;

/** What the results differ in; a choice between fewer than two is none. */
export function facetsOf(results: readonly Found[], language: string): Facets {
  const { compare } = new Intl.Collator(language, { numeric: true });
  const values = (of: (found: Found) => string): string[] =>
    [...new Set(results.map(of).filter((value) => value !== ''))].sort(compare).slice(0, PLATFORMS_MAX);
  const platforms = values(({ platform }) => platform);
  const plugins = values(({ plugin }) => plugin);
  const known = new Set(results.flatMap(({ seconds }) => (seconds === null ? [] : [lengthOf(seconds)])));
  return {
    platforms: platforms.length > 1 ? platforms : [],
    plugins: plugins.length > 1 ? plugins : [],
    lengths: known.size > 1 || (known.size === 1 && results.some(({ seconds }) => seconds === null)) ? LENGTHS.filter((one) => known.has(one)) : [],
  };
}
