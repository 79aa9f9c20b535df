/** What can be done about a task that failed. */

import { hashOf } from '../shell/route';
import type { PluginType } from '../api/model';
import type { Task } from './taskModel';

/** The codes of problems that have words of advice. */
const KNOWN = [
  'plugin_error',
  'plugin_crashed',
  'plugin_timeout',
  'plugin_unavailable',
  'plugin_disabled',
  'plugin_not_found',
  'config_missing',
  'no_download_plugin',
  'download_failed',
  'search_failed',
  'too_many_results',
  'server_stopped',
  'disk_full',
  'store_failed',
] as const;
export type RemedyCode = (typeof KNOWN)[number];

const TYPES: Record<Task['kind'], PluginType> = { search: 'search', parse: 'parser', download: 'download' };

export interface Remedy {
  code: RemedyCode;
  /** Where it is done, and what the plugin there is called; null where that is nowhere on this page. */
  link: { to: 'log' | 'config' | 'plugins'; href: string; name: string } | null;
}

/** Null where nothing is known but to try again. */
export function remedyOf({ kind, problem, plugin_name: name }: Task): Remedy | null {
  const code = KNOWN.find((one) => one === problem?.code);
  return code === undefined ? null : { code, link: linkOf(code, TYPES[kind], name) };
}

function linkOf(code: RemedyCode, type: PluginType, name: string | null): Remedy['link'] {
  switch (code) {
    case 'plugin_error':
    case 'plugin_crashed':
    case 'plugin_timeout':
    case 'download_failed':
      return name === null ? null : { to: 'log', href: hashOf('plugins', [type, name, 'log']), name };
    case 'config_missing':
      return name === null ? null : { to: 'config', href: hashOf('plugins', [type, name, 'config']), name };
    case 'plugin_unavailable':
    case 'plugin_disabled':
    case 'plugin_not_found':
    case 'no_download_plugin':
      return { to: 'plugins', href: hashOf('plugins'), name: name ?? '' };
    default:
      return null;
  }
}
