/** Calls and errors of each plugin over the last minutes, in steps of a few seconds. Pure, as `state.ts` is. */

import type { Stats as StatsAnswer, StatsToldData } from '../api/generated';

/** How many steps are kept and shown. */
export const STEPS = 60;

/** Of one step: calls that ended in it, those of them that failed, and how long they took on average. */
export type Step = readonly [calls: number, errors: number, mean_ms: number];

export interface CallSteps {
  /** Calls under way: of the generation that serves, and of those that are to end. */
  running: number;
  draining: number;
  /** The number of the step that `series` ends with. */
  newest: number;
  series: readonly Step[];
}

export interface Stats {
  step_s: number;
  /** The step that was told last, by the server's count, and when: milliseconds of the reader's own clock. */
  newest: number;
  told: number;
  plugins: Readonly<Record<string, CallSteps>>;
}

export const noStats: Stats = { step_s: 2, newest: 0, told: 0, plugins: {} };

export interface Totals {
  calls: number;
  errors: number;
  /** Of all calls; null where there were none. */
  mean_ms: number | null;
}

export function withAnswer({ step, step_s, plugins }: StatsAnswer, told: number): Stats {
  const entries = Object.entries(plugins).map(([id, { running, draining, series }]): [string, CallSteps] => [
    id,
    { running, draining, newest: step, series: series.slice(-STEPS) },
  ]);
  return { step_s, newest: step, told, plugins: Object.fromEntries(entries) };
}

/** A step that an answer has told of already takes the place of the one that is there. */
export function withStep(stats: Stats, { step, step_s, plugins }: StatsToldData, told: number): Stats {
  const all: Record<string, CallSteps> = { ...stats.plugins };
  for (const [id, { calls, errors, mean_ms, running, draining }] of Object.entries(plugins)) {
    const series = seriesUntil(all[id], step - 1, STEPS - 1);
    all[id] = { running, draining, newest: step, series: [...series, [calls, errors, mean_ms]] };
  }
  return { step_s, newest: step, told, plugins: all };
}

/** The newest step that is over by `now`: where nothing happens nothing is told, and time goes on all the same. */
export function stepAt({ newest, told, step_s }: Stats, now: number): number {
  return newest + Math.max(0, Math.floor((now - told) / 1000 / step_s));
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
