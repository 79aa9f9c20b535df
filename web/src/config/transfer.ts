/** All configuration as a file: what it is called, and what one that is given holds. */

import type { Config } from './configApi';
import { parsed } from './draft.svelte';
import { isObject } from './field';

/** The largest file that is read; what is sent may have 1 MiB. */
export const LARGEST_BYTES = 1024 * 1024;

export type Reading = { config: Config } | { problem: 'empty' | 'json' | 'shape' };

/** What a text holds: an export, or the object that stands in one (which is also what `config/plugins.json` holds). */
export function read(text: string): Reading {
  if (text.trim() === '') return { problem: 'empty' };
  const value = parsed(text);
  if (value === undefined) return { problem: 'json' };
  if (!isObject(value)) return { problem: 'shape' };
  const config = isObject(value.config) ? value.config : value;
  const keys = Object.keys(config);
  return keys.every((key) => key.includes(':') && isObject(config[key])) ? { config } : { problem: 'shape' };
}

/** `plugbay-config-2026-11-28.json`, by the reader's own calendar. */
export function fileName(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `plugbay-config-${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}.json`;
}
