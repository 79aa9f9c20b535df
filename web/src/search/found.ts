/**
 * What plugins find, made fit to be shown: whatever a plugin put into a field, here it is a text or nothing.
 */

import { formatLength } from '../ui/amounts';

export type AddressKind = 'magnet' | 'torrent' | 'nzb' | 'file';

/** One more address of a result. `label` is empty where its kind is all that is known of it. */
export interface Address {
  kind: AddressKind;
  label: string;
  url: string;
}

/** What a parser made of an episode's address. */
export interface ParsedUrl {
  plugin: string;
  name: string;
  url: string;
}

export interface Episode {
  title: string;
  source: string;
  url: string;
  parsed: ParsedUrl[];
}

export interface Found {
  /** Its place in the order of arrival, which it keeps. */
  key: number;
  plugin: string;
  title: string;
  url: string;
  thumbnail: string;
  duration: string;
  platform: string;
  /** Where it lies, of a file on the server. */
  path: string;
  description: string;
  addresses: Address[];
  episodes: Episode[];
}

export const SORTS = ['arrival', 'title', 'plugin'] as const;
export type Sort = (typeof SORTS)[number];

/** The page's content policy allows no picture from elsewhere, so only those that a result brings along are shown. */
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp|avif);base64,[a-z0-9+/=]+$/i;
const PICTURE_MAX = 300_000;

type Fields = Record<string, unknown>;

/** @param key its place in the order of arrival */
export function asFound(raw: unknown, key: number): Found {
  const fields = fieldsOf(raw);
  const metadata = fieldsOf(fields.metadata);
  const url = text(fields.url);
  return {
    key,
    plugin: text(fields.plugin),
    title: text(fields.title) || url,
    url,
    thumbnail: pictureOf(fields.thumbnail),
    duration: formatLength(fields.duration),
    platform: text(fields.platform),
    path: text(metadata.path),
    description: text(fields.description),
    addresses: addressesOf(metadata, url),
    episodes: list(metadata.episodes).map(asEpisode).filter((episode) => episode.url || episode.parsed.length > 0),
  };
}

function pictureOf(value: unknown): string {
  return typeof value === 'string' && value.length <= PICTURE_MAX && PICTURE.test(value) ? value : '';
}

function asEpisode(raw: unknown, index: number): Episode {
  const fields = fieldsOf(raw);
  return {
    title: text(fields.title) || text(fields.name) || String(index + 1),
    source: text(fields.source),
    url: text(fields.play_url) || text(fields.url),
    parsed: list(fields.parsed_urls)
      .map(fieldsOf)
      .map((entry) => ({ plugin: text(entry.plugin), name: text(entry.name), url: text(entry.url) }))
      .filter((entry) => entry.url !== ''),
  };
}

/** All addresses in the metadata besides that of the result itself, each once. */
function addressesOf(metadata: Fields, own: string): Address[] {
  const found: Address[] = [
    { kind: 'magnet', label: '', url: text(metadata.magnet) || text(metadata.magnet_url) },
    { kind: 'torrent', label: '', url: text(metadata.torrent_url) || text(metadata.torrent) },
    { kind: 'nzb', label: '', url: text(metadata.nzb_url) },
    { kind: 'file', label: '', url: text(metadata.download_url) },
    ...[...list(metadata.downloads), ...list(metadata.enclosures)].map(fieldsOf).map(
      (entry): Address => ({
        kind: 'file',
        label: [text(entry.source), text(entry.title) || text(entry.name)].filter(Boolean).join(' · '),
        url: text(entry.url),
      }),
    ),
  ];
  const seen = new Set(['', own]);
  return found.filter(({ url }) => !seen.has(url) && seen.add(url));
}

/** The results that have all of `words` somewhere, in the order asked for. */
export function arranged(results: readonly Found[], words: string, sort: Sort, language: string): Found[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = results.filter(({ title, description, platform, plugin, url }) => {
    const all = `${title}\n${description}\n${platform}\n${plugin}\n${url}`.toLowerCase();
    return wanted.every((word) => all.includes(word));
  });
  if (sort === 'arrival') return kept;
  // Episode 2 comes before episode 10.
  const { compare } = new Intl.Collator(language, { numeric: true });
  return kept.sort((a, b) => compare(a[sort], b[sort]) || a.key - b.key);
}

function text(value: unknown): string {
  if (typeof value === 'string') return value.trim();
  return typeof value === 'number' ? String(value) : '';
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}
