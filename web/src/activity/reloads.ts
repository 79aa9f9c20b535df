/** Times of reloads: joined, bounded, and summed up. */

import type { Load } from '../api/generated';
import type { LiveEvent } from '../live/events';

export const RELOAD_LIMIT = 200;

/** The load that an event tells of, or null; as the server's own list has them. */
export function loadOf(event: LiveEvent): Load | null {
  switch (event.type) {
    case 'plugbay.plugin.loaded':
    case 'plugbay.plugin.reloaded':
    case 'plugbay.plugin.configured':
    case 'plugbay.plugin.enabled':
    case 'plugbay.plugin.failed': {
      const { plugin, cause, timings } = event.data;
      const ok = event.type !== 'plugbay.plugin.failed';
      // It serves as before: nothing was loaded.
      if (ok && timings === undefined) return null;
      const generation = ok ? plugin.generation : (plugin.error?.generation ?? plugin.generation);
      const times = { ms: timings?.total_ms ?? null, load_ms: timings?.load_ms ?? null };
      return { at: event.time, id: plugin.id, generation, cause, ok, ...times };
    }
    default:
      return null;
  }
}

/** What tells a load from all others. */
export function keyOf({ at, id }: Load): string {
  return `${at} ${id}`;
}

/** Both, each once, oldest first, the newest `RELOAD_LIMIT`. */
export function joinedLoads(known: readonly Load[], come: readonly Load[]): readonly Load[] {
  if (come.length === 0) return known;
  const all = new Map<string, Load>();
  for (const load of [...known, ...come]) all.set(keyOf(load), load);
  return [...all.values()].sort((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0)).slice(-RELOAD_LIMIT);
}

export interface Summary {
  count: number;
  failed: number;
  /** Milliseconds, of what went well; null where nothing did. */
  p50: number | null;
  p95: number | null;
  slowest: number | null;
}

export function summaryOf(loads: readonly Load[]): Summary {
  const good = loads.filter(({ ok }) => ok);
  const times = good.flatMap(({ ms }) => ms ?? []).sort((one, other) => one - other);
  return {
    count: loads.length,
    failed: loads.length - good.length,
    p50: quantile(times, 0.5),
    p95: quantile(times, 0.95),
    slowest: times.at(-1) ?? null,
  };
}

/** The nearest rank of sorted numbers. */
export function quantile(sorted: readonly number[], part: number): number | null {
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? null;
}
