/** Which plugins are let through, and in which order. Pure. */

import type { Plugin, PluginState, PluginType } from '../api/model';
import { byName, type DashboardState } from './state';
import { seriesUntil, type Stats, totalsOf } from './stats';

export const SORTS = ['name', 'state', 'change', 'calls', 'errors', 'load'] as const;
export type Sort = (typeof SORTS)[number];

export interface Filter {
  words: string;
  state: PluginState | null;
  type: PluginType | null;
}

/** What needs somebody comes first. */
const URGENCY: readonly PluginState[] = ['failed', 'degraded', 'loading', 'active', 'disabled'];

/** The plugins that each word of the filter fits, in no order. */
export function filtered({ plugins }: DashboardState, { words, state, type }: Filter): Plugin[] {
  const wanted = words.toLowerCase().split(/\s+/).filter((word) => word !== '');
  return Object.values(plugins).filter((plugin) => {
    if ((state !== null && plugin.state !== state) || (type !== null && plugin.type !== type)) return false;
    if (wanted.length === 0) return true;
    const text = `${plugin.name}\n${plugin.description}\n${plugin.file}\n${plugin.version}`.toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}

/** The same plugins in the order of `sort`; those that are alike in it by name. Calls are those until `step`. */
export function sorted(plugins: readonly Plugin[], sort: Sort, stats: Stats, step = stats.newest): Plugin[] {
  const named = [...plugins].sort(byName);
  if (sort === 'name') return named;
  const rank = rankBy(sort, stats, step);
  const ranks = new Map(named.map((plugin) => [plugin, rank(plugin)]));
  return named.sort((one, other) => (ranks.get(other) ?? 0) - (ranks.get(one) ?? 0));
}

/** A number for each plugin: the highest is shown first. */
function rankBy(sort: Exclude<Sort, 'name'>, stats: Stats, step: number): (plugin: Plugin) => number {
  switch (sort) {
    case 'state':
      return ({ state }) => -URGENCY.indexOf(state);
    case 'change':
      return ({ loaded_at }) => (loaded_at === null ? 0 : Date.parse(loaded_at));
    case 'load':
      return ({ load_ms }) => load_ms ?? -1;
    case 'calls':
    case 'errors':
      return ({ id }) => totalsOf(seriesUntil(stats.plugins[id], step))[sort];
  }
}

/** The same plugins as `before`, in its order, or null where they are others: most changes move nothing. */
export function renewed(plugins: readonly Plugin[], before: readonly Plugin[]): Plugin[] | null {
  if (plugins.length !== before.length) return null;
  const known = new Map(plugins.map((plugin) => [plugin.id, plugin]));
  const same = before.flatMap(({ id }) => known.get(id) ?? []);
  return same.length === plugins.length ? same : null;
}

/**
 * The plugins in the order that they had, as far as they were there; what is new comes last.
 *
 * For as long as somebody points at a row, no other may take its place.
 */
export function held(plugins: readonly Plugin[], before: readonly Plugin[]): Plugin[] {
  const places = new Map(before.map(({ id }, index) => [id, index]));
  const place = ({ id }: Plugin): number => places.get(id) ?? before.length;
  return [...plugins].sort((one, other) => place(one) - place(other));
}

