/** The words of the page's frame and of its first view, in two languages. Other features bring their own. */

import type { Language } from '../api/model';
import { en } from './en';
import { fill, type Params } from './fill';
import { zh } from './zh';

export type Key = keyof typeof zh;

export const DICTIONARIES: Record<Language, Record<Key, string>> = { zh, en };

/** The text of `key` with its values put in. A value that is not given stays visible as its slot. */
export function translate(language: Language, key: Key, params?: Params): string {
  return fill(DICTIONARIES[language][key], params);
}

/** A text with one slot left open, as what stands before and after it, so that a view can put an element there. */
export function around(text: string, slot: string): [before: string, after: string] {
  const place = text.indexOf(slot);
  return place < 0 ? [text, ''] : [text.slice(0, place), text.slice(place + slot.length)];
}

/** The text of `prefix.name` where there is one, else `name` itself: names may come from a newer server. */
export function named(language: Language, prefix: string, name: string): string {
  const key = `${prefix}.${name}`;
  return Object.hasOwn(DICTIONARIES[language], key) ? translate(language, key as Key) : name;
}

/** The language to begin with, by what the browser prefers. */
export function preferredLanguage(languages: readonly string[]): Language {
  for (const language of languages) {
    if (/^zh\b/i.test(language)) return 'zh';
    if (/^en\b/i.test(language)) return 'en';
  }
  return languages.length === 0 ? 'zh' : 'en';
}
