/** Times of reloads: joined, bounded, and summed up. */

import type { LiveEvent } from '../live/events';

/** A load of a plugin that was to replace, or begin, a generation. `ms` from the change to its effect, as far as known. */
export interface Reload {
  /** ISO 8601. */
  at: string;
  id: string;
  generation: number;
  ms: number;
  ok: boolean;
}

export const RELOAD_LIMIT = 200;

/** The reload that an event tells of, or null. */
export function reloadOf(event: LiveEvent): Reload | null {
  switch (event.type) {
    case 'plugbay.plugin.loaded':
    case 'plugbay.plugin.reloaded':
    case 'plugbay.plugin.configured':
    case 'plugbay.plugin.enabled':
    case 'plugbay.plugin.failed': {
      const { plugin, timings } = event.data;
      if (timings === undefined) return null;
      const ok = event.type !== 'plugbay.plugin.failed';
      const generation = ok ? plugin.generation : (plugin.error?.generation ?? plugin.generation);
      return { at: event.time, id: plugin.id, generation, ms: timings.load_ms, ok };
    }
    default:
      return null;
  }
}

/** Both, each once, oldest first, the newest `RELOAD_LIMIT`. */
export function joinedReloads(known: readonly Reload[], come: readonly Reload[]): readonly Reload[] {
  if (come.length === 0) return known;
  const all = new Map<string, Reload>();
  for (const reload of [...known, ...come]) all.set(`${reload.id} ${reload.generation} ${reload.ok}`, reload);
  return [...all.values()].sort((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0)).slice(-RELOAD_LIMIT);
}

export interface Summary {
  count: number;
  failed: number;
  /** Milliseconds, of what went well; null where nothing did. */
  p50: number | null;
  p95: number | null;
  slowest: Reload | null;
}

export function summaryOf(reloads: readonly Reload[]): Summary {
  const good = reloads.filter(({ ok }) => ok).sort((one, other) => one.ms - other.ms);
  const times = good.map(({ ms }) => ms);
  return {
    count: reloads.length,
    failed: reloads.length - good.length,
    p50: quantile(times, 0.5),
    p95: quantile(times, 0.95),
    slowest: good.at(-1) ?? null,
  };
}

/** The nearest rank of sorted numbers. */
export function quantile(sorted: readonly number[], part: number): number | null {
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? null;
}
