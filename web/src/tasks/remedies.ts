/** What can be done about a task that failed. */

import { hashOf } from '../shell/route';
import type { PluginType } from '../api/model';
import type { Task, TaskFailure } from './taskModel';

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

/** What the plugins are called that do each kind of task. */
export const TYPES: Record<Task['kind'], PluginType> = { search: 'search', parse: 'parser', download: 'download' };

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

/** The line of a plugin's own code in the editor; null where a failure names none. */
export function codeHref(type: PluginType, name: string, file: unknown, line: unknown): string | null {
  if (typeof file !== 'string' || typeof line !== 'number') return null;
  return hashOf('plugins', [type, name, 'code'], { file, line: String(line) });
}

/** Where a plugin that failed in a search or a parse is looked into and put right. */
export function placesOf(kind: Task['kind'], failure: TaskFailure): { to: 'code' | 'config' | 'log'; href: string }[] {
  const { plugin, file, line } = failure;
  const type = TYPES[kind];
  const code = codeHref(type, plugin, file, line);
  if (failure.code === 'config_missing') return [{ to: 'config', href: hashOf('plugins', [type, plugin, 'config']) }];
  const log = { to: 'log' as const, href: hashOf('plugins', [type, plugin, 'log']) };
  return code === null ? [log] : [{ to: 'code', href: code }, log];
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
