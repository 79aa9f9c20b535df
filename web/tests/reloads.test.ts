import { describe, expect, it } from 'vitest';
import { joinedLoads, loadOf, quantile, RELOAD_LIMIT, summaryOf } from '../src/activity/reloads';
import type { Load } from '../src/api/generated';
import { changed, loadError, plugin } from './sample';

const load = (ms: number | null, second = 0): Load => ({
  at: `2026-11-22T12:00:${String(second).padStart(2, '0')}Z`,
  id: 'search/demo',
  generation: 1,
  cause: 'file',
  ok: ms !== null,
  ms,
  load_ms: ms,
});

describe('the times of reloads', () => {
  it('are taken of what was loaded, and of what did not load', () => {
    const reloaded = changed('reloaded', plugin({ generation: 3 }), { seq: '1' });
    expect(loadOf(reloaded)).toBeNull();
    if (reloaded.type === 'plugbay.plugin.reloaded') reloaded.data.timings = { detect_ms: 1, load_ms: 4, total_ms: 5 };
    expect(loadOf(reloaded)).toMatchObject({ id: 'search/demo', generation: 3, ok: true, ms: 5, load_ms: 4 });
    const failed = changed('failed', plugin({ state: 'degraded', generation: 3, error: loadError({ generation: 4 }) }));
    expect(loadOf(failed)).toMatchObject({ ok: false, generation: 4, ms: null });
    expect(loadOf(changed('disabled', plugin()))).toBeNull();
  });

  it('are joined in order, each once, and bounded', () => {
    expect(joinedLoads([load(1, 1), load(3, 3)], [load(2, 2), load(3, 3)]).map(({ ms }) => ms)).toEqual([1, 2, 3]);
    const many = Array.from({ length: RELOAD_LIMIT + 5 }, (_, index) => ({ ...load(index), id: `search/p${index}` }));
    expect(joinedLoads([], many)).toHaveLength(RELOAD_LIMIT);
  });

  it('are summed up without what failed', () => {
    expect(summaryOf([load(4), load(2), load(null), load(6)])).toEqual({ count: 4, failed: 1, p50: 4, p95: 6, slowest: 6 });
    expect(summaryOf([])).toEqual({ count: 0, failed: 0, p50: null, p95: null, slowest: null });
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2);
  });
});
