import { describe, expect, it } from 'vitest';
import type { StatsToldData } from '../src/api/generated';
import { noStats, seriesUntil, type Step, stepAt, STEPS, totalsOf, withAnswer, withOnly, withStep } from '../src/plugins/stats';

const AT = '2026-11-22T12:00:00Z';
const step = (number: number, calls: number, errors = 0): StatsToldData => ({
  at: AT,
  step: number,
  step_s: 2,
  plugins: { 'search/demo': { calls, errors, mean_ms: 5, running: 1, draining: 0, total_calls: 9, total_errors: 0 } },
});
const after = (...steps: StatsToldData[]): typeof noStats => steps.reduce((stats, one) => withStep(stats, one, 0), noStats);
const demo = (stats: typeof noStats): Step[] => seriesUntil(stats.plugins['search/demo'], stats.newest);

describe('the steps of a plugin', () => {
  it('follow each other, with nothing where nothing was told', () => {
    const stats = after(step(1, 3), step(4, 2, 1));
    expect(demo(stats).slice(-5)).toEqual([[0, 0, 0], [3, 0, 5], [0, 0, 0], [0, 0, 0], [2, 1, 5]]);
    expect(demo(stats)).toHaveLength(STEPS);
  });

  it('move on while others are told of', () => {
    const stats = after(step(1, 3), { ...step(3, 1), plugins: {} });
    expect(demo(stats).slice(-3)).toEqual([[3, 0, 5], [0, 0, 0], [0, 0, 0]]);
  });

  it('that come twice count once', () => {
    expect(totalsOf(demo(after(step(1, 3), step(1, 4)))).calls).toBe(4);
  });

  it('are as many as are shown, however long it goes on', () => {
    const stats = after(...Array.from({ length: 500 }, (_, number) => step(number, 1)));
    expect(stats.plugins['search/demo']?.series).toHaveLength(STEPS);
    expect(totalsOf(demo(stats)).calls).toBe(STEPS);
  });

  it('go on from what was asked for', () => {
    const series: [number, number, number][] = Array.from({ length: 60 }, (_, number) => [number, 0, 1]);
    const counts = { calls: 9, errors: 0, mean_ms: 1, running: 2, draining: 1, series };
    const answer = withAnswer({ at: AT, step: 70, step_s: 2, plugins: { 'search/demo': counts }, reloads: [] }, 0);
    expect(answer.plugins['search/demo']?.running).toBe(2);
    expect(demo(withStep(answer, step(71, 7), 0)).slice(-3)).toEqual([[58, 0, 1], [59, 0, 1], [7, 0, 5]]);
  });

  it('begin anew with a server that was started anew', () => {
    const again = withAnswer({ at: AT, step: 3, step_s: 2, plugins: {}, reloads: [] }, 0);
    expect(totalsOf(demo(again)).calls).toBe(0);
    expect(totalsOf(demo(withStep(again, step(4, 2), 0))).calls).toBe(2);
  });

  it('are forgotten with it', () => {
    const stats = after(step(1, 3));
    expect(withOnly(stats, { 'search/demo': {} })).toBe(stats);
    expect(withOnly(stats, {}).plugins).toEqual({});
  });
});

describe('the step that is shown last', () => {
  it('goes on with the clock, and never back', () => {
    const stats = withStep(noStats, step(10, 1), 50_000);
    expect([49_000, 50_000, 51_900, 52_000, 57_000].map((now) => stepAt(stats, now))).toEqual([10, 10, 10, 11, 13]);
  });
});

describe('totals', () => {
  it('weigh the times by the calls', () => {
    expect(totalsOf([[1, 0, 10], [3, 1, 2], [0, 0, 0]])).toEqual({ calls: 4, errors: 1, mean_ms: 4 });
    expect(totalsOf([]).mean_ms).toBeNull();
  });
});
