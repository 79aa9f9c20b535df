/** Calls and errors of each plugin over the last minutes, in steps of a few seconds. Pure, as `state.ts` is. */

/** How many steps are kept and shown. */
export const STEPS = 60;

/** Of one step: calls that ended in it, those of them that failed, and how long they took on average. */
export type Step = readonly [calls: number, errors: number, mean_ms: number];

interface Now {
  running: number;
  draining: number;
}

/** Of one plugin, as `GET /api/stats` has it: the oldest step first, the one that is under way last. */
export interface PluginStats extends Now {
  series: Step[];
}

export interface StatsAnswer {
  /** ISO 8601: when the newest step ends. */
  at: string;
  step_s: number;
  plugins: Record<string, PluginStats>;
}

/** What happened in one step, of the plugins that something happened to. */
export interface StatsStep {
  at: string;
  step_s: number;
  plugins: Record<string, Now & { calls: number; errors: number; mean_ms: number }>;
}

export interface CallSteps extends Now {
  /** The number of the step that `series` ends with. */
  newest: number;
  series: readonly Step[];
}

export interface Stats {
  step_s: number;
  /** Steps are counted since the epoch, by the server's clock. */
  newest: number;
  plugins: Readonly<Record<string, CallSteps>>;
}

export const noStats: Stats = { step_s: 2, newest: 0, plugins: {} };

export interface Totals {
  calls: number;
  errors: number;
  /** Of all calls; null where there were none. */
  mean_ms: number | null;
}

export function withAnswer({ at, step_s, plugins }: StatsAnswer): Stats {
  const newest = stepOf(at, step_s);
  const entries = Object.entries(plugins).map(([id, { running, draining, series }]): [string, CallSteps] => [
    id,
    { running, draining, newest, series: series.slice(-STEPS) },
  ]);
  return { step_s, newest, plugins: Object.fromEntries(entries) };
}

/** A step that comes twice, or that an answer has already told, takes the place of the one that is there. */
export function withStep(stats: Stats, { at, step_s, plugins }: StatsStep): Stats {
  const newest = stepOf(at, step_s);
  const all: Record<string, CallSteps> = { ...stats.plugins };
  for (const [id, { calls, errors, mean_ms, running, draining }] of Object.entries(plugins)) {
    const series = seriesUntil(all[id], newest - 1, STEPS - 1);
    all[id] = { running, draining, newest, series: [...series, [calls, errors, mean_ms]] };
  }
  return { step_s, newest: Math.max(stats.newest, newest), plugins: all };
}

/** Nothing is kept of plugins that are gone. */
export function withOnly(stats: Stats, ids: Readonly<Record<string, unknown>>): Stats {
  const kept = Object.entries(stats.plugins).filter(([id]) => ids[id] !== undefined);
  if (kept.length === Object.keys(stats.plugins).length) return stats;
  return { ...stats, plugins: Object.fromEntries(kept) };
}

const NOTHING: Step = [0, 0, 0];

/** The `count` steps that end with number `until`: a plugin that nothing was told of did nothing. */
export function seriesUntil(steps: CallSteps | undefined, until: number, count = STEPS): Step[] {
  if (steps === undefined) return Array.from({ length: count }, () => NOTHING);
  const last = steps.series.length - 1;
  return Array.from({ length: count }, (_, index) => {
    const number = until - (count - 1 - index);
    return steps.series[last - (steps.newest - number)] ?? NOTHING;
  });
}

export function totalsOf(series: readonly Step[]): Totals {
  let [calls, errors, took] = [0, 0, 0];
  for (const [some, failed, mean_ms] of series) {
    calls += some;
    errors += failed;
    took += some * mean_ms;
  }
  return { calls, errors, mean_ms: calls > 0 ? took / calls : null };
}

function stepOf(at: string, step_s: number): number {
  return Math.round(Date.parse(at) / 1000 / step_s);
}
