import { describe, expect, it } from 'vitest';
import { entryOf, joined, passes, STREAM_LIMIT, type StreamEntry, type StreamFilter } from '../src/activity/stream';
import { changed, event, loadError, plugin, task, taskChanged, taskProgress, taskResults } from './sample';

const ALL: StreamFilter = { area: null, outcome: null, plugin: null, words: '' };

function entry(of: Parameters<typeof entryOf>[0]): StreamEntry {
  const made = entryOf(of);
  if (made === null) throw new Error('it has no line');
  return made;
}

describe('the line of an event in the stream', () => {
  it('is there also for what is no news in the feed', () => {
    expect(entryOf(changed('loading', plugin()))).toMatchObject({ area: 'plugins', tone: 'calm', saying: { of: 'loading' } });
    const quick = event('plugbay.generation.drained', 'plugins/search/demo', { generation: 1, drain_ms: 2, forced: false });
    expect(entryOf(quick)).toMatchObject({ plugin: 'search/demo', saying: { activity: { kind: 'drained' } } });
  });

  it('is left out for heartbeats and for progress', () => {
    expect(entryOf(event('plugbay.heartbeat', 'heartbeat', {}))).toBeNull();
    expect(entryOf(taskProgress(task()))).toBeNull();
  });

  it('names the plugin of a task as plugins are named', () => {
    expect(entry(taskChanged('started', task({ kind: 'parse', plugin_name: 'page' }))).plugin).toBe('parser/page');
    expect(entry(taskChanged('started', task({ kind: 'search', plugin_name: null }))).plugin).toBeNull();
  });

  it('tells a download that was handed over from one that is done, and new results from all', () => {
    const handed = entry(taskChanged('completed', task({ status: 'handed_over', title: 'film' })));
    expect(handed).toMatchObject({ tone: 'good', saying: { kind: 'handed_over', title: 'film' } });
    expect(entry(taskResults(task({ result_count: 9 }), [1, 2])).saying).toMatchObject({ kind: 'results', count: 2 });
    expect(entry(taskChanged('failed', task({ error: 'no' }))).saying).toMatchObject({ kind: 'failed', reason: 'no' });
  });
});

describe('the stream', () => {
  const at = (seq: number): StreamEntry => entry(changed('reloaded', plugin({ generation: seq }), { seq: String(seq) }));

  it('has every event once, newest first, whatever order they come in', () => {
    const all = joined([at(9)], [at(10), at(2), at(9)]);
    expect(all.map((one) => one.event.seq)).toEqual(['10', '9', '2']);
  });

  it('is bounded', () => {
    const many = Array.from({ length: STREAM_LIMIT + 50 }, (_, index) => at(index));
    const all = joined([], many);
    expect(all).toHaveLength(STREAM_LIMIT);
    expect(all[0]?.event.seq).toBe(String(STREAM_LIMIT + 49));
  });
});

describe('a filter', () => {
  const failed = entry(changed('failed', plugin({ state: 'failed', error: loadError() }), { seq: '1' }));
  const done = entry(taskChanged('completed', task({ kind: 'search', keyword: 'Dragon', status: 'completed' })));

  it('looks at area, outcome, plugin and every word', () => {
    expect(passes(failed, ALL)).toBe(true);
    expect(passes(failed, { ...ALL, area: 'tasks' })).toBe(false);
    expect(passes(failed, { ...ALL, outcome: 'bad' })).toBe(true);
    expect(passes(failed, { ...ALL, outcome: 'good' })).toBe(false);
    expect(passes(done, { ...ALL, plugin: 'search/demo' })).toBe(false);
    expect(passes(done, { ...ALL, words: ' dragon COMPLETED ' })).toBe(true);
    expect(passes(done, { ...ALL, words: 'dragon failed' })).toBe(false);
  });

  it('finds an error in either language', () => {
    expect(passes(failed, { ...ALL, words: '出错' })).toBe(true);
    expect(passes(failed, { ...ALL, words: 'wrong' })).toBe(true);
  });
});
