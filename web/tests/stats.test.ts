import { describe, expect, it } from 'vitest';
import { noStats, seriesUntil, STEPS, type StatsStep, type Step, totalsOf, withAnswer, withOnly, withStep } from '../src/plugins/stats';

const at = (second: number): string => new Date(1_800_000_000_000 + second * 1000).toISOString();
const step = (second: number, calls: number, errors = 0): StatsStep => ({
  at: at(second),
  step_s: 2,
  plugins: { 'search/demo': { calls, errors, mean_ms: 5, running: 1, draining: 0 } },
});
const demo = (stats: typeof noStats): Step[] => seriesUntil(stats.plugins['search/demo'], stats.newest);

describe('the steps of a plugin', () => {
  it('follow each other, with nothing where nothing was told', () => {
    const stats = withStep(withStep(noStats, step(0, 3)), step(6, 2, 1));
    expect(demo(stats).slice(-5)).toEqual([[0, 0, 0], [3, 0, 5], [0, 0, 0], [0, 0, 0], [2, 1, 5]]);
    expect(demo(stats)).toHaveLength(STEPS);
  });

  it('move on while others are told of', () => {
    const other = { ...step(4, 1), plugins: {} };
    expect(demo(withStep(withStep(noStats, step(0, 3)), other)).slice(-3)).toEqual([[3, 0, 5], [0, 0, 0], [0, 0, 0]]);
  });

  it('that come twice count once', () => {
    const stats = withStep(withStep(noStats, step(0, 3)), step(0, 4));
    expect(totalsOf(demo(stats)).calls).toBe(4);
  });

  it('are as many as are shown, however long it goes on', () => {
    let stats = noStats;
    for (let second = 0; second < 1000; second += 2) stats = withStep(stats, step(second, 1));
    expect(stats.plugins['search/demo']?.series).toHaveLength(STEPS);
    expect(totalsOf(demo(stats)).calls).toBe(STEPS);
  });

  it('go on from what was asked for', () => {
    const series: Step[] = Array.from({ length: 60 }, (_, number) => [number, 0, 1]);
    const answer = withAnswer({ at: at(0), step_s: 2, plugins: { 'search/demo': { running: 2, draining: 1, series } } });
    expect(answer.plugins['search/demo']?.running).toBe(2);
    expect(demo(withStep(answer, step(2, 7))).slice(-3)).toEqual([[58, 0, 1], [59, 0, 1], [7, 0, 5]]);
  });

  it('are forgotten with it', () => {
    const stats = withStep(noStats, step(0, 3));
    expect(withOnly(stats, { 'search/demo': {} })).toBe(stats);
    expect(withOnly(stats, {}).plugins).toEqual({});
  });
});

describe('totals', () => {
  it('weigh the times by the calls', () => {
    expect(totalsOf([[1, 0, 10], [3, 1, 2], [0, 0, 0]])).toEqual({ calls: 4, errors: 1, mean_ms: 4 });
    expect(totalsOf([]).mean_ms).toBeNull();
  });
});
