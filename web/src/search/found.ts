/**
 * What plugins find, made fit to be shown: whatever a plugin put into a field, here it is a text or nothing.
 */

import { formatLength } from '../ui/amounts';
import { secondsOf } from './durations';

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

export interface Extra {
  name: string;
  value: string;
}

export interface Found {
  /** Its place in the order of arrival, which it keeps. */
  key: number;
  plugin: string;
  title: string;
  url: string;
  /** Where the page gets its picture: from its own server, or out of the result itself; empty where it has none. */
  thumbnail: string;
  duration: string;
  /** The duration in seconds; null where it cannot be told. */
  seconds: number | null;
  platform: string;
  /** Where it lies, of a file on the server. */
  path: string;
  description: string;
  /** What a parser says besides: `resolution 1080p`. */
  extras: Extra[];
  addresses: Address[];
  episodes: Episode[];
}

/** Pictures that results bring along. */
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp|avif);base64,[a-z0-9+/=]+$/i;
const PICTURE_MAX = 300_000;
/** A request may have no longer line. */
const ADDRESS_MAX = 8_000;

const EXTRAS_MAX = 6;
const EXTRA_LENGTH = 80;
const SHOWN_ELSEWHERE = new Set(['plugin', 'name', 'title', 'url', 'thumbnail', 'duration', 'platform', 'description', 'metadata']);

type Fields = Record<string, unknown>;

/** @param key its place in the order of arrival */
export function asFound(raw: unknown, key: number): Found {
  const fields = fieldsOf(raw);
  const metadata = fieldsOf(fields.metadata);
  const url = text(fields.url);
  return {
    key,
    plugin: text(fields.plugin),
    // A parser says `name`.
    title: text(fields.title) || text(fields.name) || url,
    url,
    thumbnail: pictureOf(fields.thumbnail),
    duration: formatLength(fields.duration),
    seconds: secondsOf(fields.duration),
    platform: text(fields.platform),
    path: text(metadata.path),
    description: text(fields.description),
    extras: extrasOf(fields),
    addresses: addressesOf(metadata, url),
    episodes: list(metadata.episodes).map(asEpisode).filter((episode) => episode.url || episode.parsed.length > 0),
  };
}

/** The content policy lets the page ask only its own server for pictures, which fetches those from elsewhere. */
function pictureOf(value: unknown): string {
  if (typeof value !== 'string') return '';
  if (value.length <= PICTURE_MAX && PICTURE.test(value)) return value;
  const address = value.startsWith('//') ? `https:${value}` : value.trim();
  if (!/^https?:\/\/[^/]/i.test(address)) return '';
  const query = new URLSearchParams({ url: address }).toString();
  return query.length > ADDRESS_MAX ? '' : `/api/thumbnail?${query}`;
}

function extrasOf(fields: Fields): Extra[] {
  return Object.entries(fields)
    .filter(([name]) => !SHOWN_ELSEWHERE.has(name))
    .map(([name, value]) => ({ name: name.slice(0, EXTRA_LENGTH), value: text(value) }))
    .filter(({ value }) => value !== '' && value.length <= EXTRA_LENGTH)
    .slice(0, EXTRAS_MAX);
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
