import { describe, expect, it } from 'vitest';
import type { Plugin } from '../src/api/model';
import { type Filter, filtered, held, renewed, sorted } from '../src/plugins/order';
import { initialState, reduce } from '../src/plugins/state';
import { noStats, type Stats } from '../src/plugins/stats';
import { plugin, snapshot } from './sample';

const zebra = plugin({ name: 'zebra', description: 'stripes', state: 'disabled', loaded_at: '2026-11-22T12:00:05Z', load_ms: 4 });
const ant2 = plugin({ name: 'ant2', state: 'failed', loaded_at: null, load_ms: null });
const ant10 = plugin({ name: 'ant10', version: '7.7', load_ms: 90 });
const page = plugin({ type: 'parser', name: 'page', loaded_at: '2026-11-22T12:00:09Z' });
const all = [zebra, ant10, ant2, page];

const state = reduce(initialState, { kind: 'snapshot', snapshot: snapshot(all) });
const names = (plugins: readonly Plugin[]): string[] => plugins.map(({ name }) => name);
const through = (filter: Partial<Filter>): string[] =>
  names(filtered(state, { words: '', state: null, type: null, ...filter })).sort();

describe('the filter', () => {
  it.each<[Partial<Filter>, string[]]>([
    [{}, ['ant10', 'ant2', 'page', 'zebra']],
    [{ words: ' STRIPES ' }, ['zebra']],
    [{ words: 'ant 7.7' }, ['ant10']],
    [{ words: 'ant nothing' }, []],
    [{ state: 'failed' }, ['ant2']],
    [{ type: 'parser' }, ['page']],
    [{ type: 'search', state: 'active' }, ['ant10']],
  ])('%j lets through %j', (filter, expected) => {
    expect(through(filter)).toEqual(expected);
  });
});

describe('the order', () => {
  const stats: Stats = {
    step_s: 2,
    newest: 7,
    told: 0,
    plugins: {
      'search/zebra': { running: 0, draining: 0, newest: 7, series: [[3, 0, 1]] },
      'parser/page': { running: 0, draining: 0, newest: 6, series: [[1, 1, 1]] },
    },
  };

  it.each([
    ['name', ['ant2', 'ant10', 'page', 'zebra']],
    ['state', ['ant2', 'ant10', 'page', 'zebra']],
    ['change', ['page', 'zebra', 'ant10', 'ant2']],
    ['load', ['ant10', 'page', 'zebra', 'ant2']],
    ['calls', ['zebra', 'page', 'ant2', 'ant10']],
    ['errors', ['page', 'ant2', 'ant10', 'zebra']],
  ] as const)('by %s is %j', (sort, expected) => {
    expect(names(sorted(all, sort, stats))).toEqual(expected);
  });

  it('is kept where the plugins are the same, with what is new of them', () => {
    const next = { ...zebra, version: '2' };
    expect(renewed([next, ant2], [ant2, zebra])).toEqual([ant2, next]);
    expect(renewed([zebra], [ant2, zebra])).toBeNull();
    expect(renewed([zebra, page], [ant2, zebra])).toBeNull();
  });

  it('stays while somebody is at work, with what is new behind it', () => {
    const before = sorted([zebra, ant2], 'calls', stats);
    expect(names(held([ant10, ant2, zebra], before))).toEqual(['zebra', 'ant2', 'ant10']);
    expect(names(sorted(all, 'calls', noStats))).toEqual(['ant2', 'ant10', 'page', 'zebra']);
  });
});
