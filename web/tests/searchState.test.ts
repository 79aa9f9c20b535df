import { describe, expect, it } from 'vitest';
import { noSearch, partsOf, reduceSearch, type SearchAction, type SearchState } from '../src/search/searchState';
import type { TaskEvent } from '../src/live/events';
import type { Task } from '../src/tasks/taskModel';
import { task, taskChanged, taskProgress, taskResults } from './sample';

const search = (changes: Partial<Task> = {}): Task => task({ kind: 'search', status: 'running', keyword: 'word', ...changes });
const found = (...titles: string[]): unknown[] => titles.map((title) => ({ title, url: '', plugin: 'demo' }));
const event = (one: TaskEvent): SearchAction => ({ kind: 'event', event: one });
const run = (...actions: SearchAction[]): SearchState =>
  actions.reduce(reduceSearch, reduceSearch(noSearch, { kind: 'open', id: 't1' }));
const titles = (state: SearchState): string[] => state.results.map(({ title }) => title);

describe('results', () => {
  it('stay in the order in which they came', () => {
    const state = run(
      event(taskResults(search({ result_count: 2 }), found('b', 'a'))),
      event(taskResults(search({ result_count: 3 }), found('c'))),
    );
    expect(titles(state)).toEqual(['b', 'a', 'c']);
    expect(state.results.map(({ key }) => key)).toEqual([0, 1, 2]);
    expect(state.task?.result_count).toBe(3);
    expect(state.gap).toBe(false);
  });

  it('come once, however often they are told', () => {
    const again = event(taskResults(search({ result_count: 2 }), found('a', 'b')));
    const more = event(taskResults(search({ result_count: 3 }), found('b', 'c')));
    expect(titles(run(again, again, more))).toEqual(['a', 'b', 'c']);
  });

  it('of another search are not taken', () => {
    expect(titles(run(event(taskResults(search({ id: 't2', result_count: 1 }), found('a')))))).toEqual([]);
  });

  it('leave with the search that they belong to', () => {
    const state = run(event(taskResults(search({ result_count: 1 }), found('a'))), { kind: 'open', id: 't2' });
    expect(state).toEqual({ ...noSearch, id: 't2' });
  });

  it('begin anew when the search is tried again', () => {
    const state = run(
      event(taskResults(search({ result_count: 1 }), found('a'))),
      event(taskChanged('failed', search({ status: 'failed', result_count: 1 }))),
      event(taskChanged('queued', search({ status: 'pending' }))),
      event(taskResults(search({ result_count: 1 }), found('b'))),
    );
    expect(titles(state)).toEqual(['b']);
  });
});

describe('a gap', () => {
  it('is noticed when results come whose predecessors did not', () => {
    const state = run(event(taskResults(search({ result_count: 5 }), found('e'))));
    expect(state.gap).toBe(true);
    expect(titles(state)).toEqual([]);
  });

  it('is noticed at the end at the latest', () => {
    expect(run(event(taskChanged('completed', search({ status: 'completed', result_count: 4 })))).gap).toBe(true);
    expect(run(event(taskChanged('completed', search({ status: 'completed' })))).gap).toBe(false);
  });

  it('is closed by the answer, and what came while it was under way comes after it', () => {
    const state = run(
      event(taskResults(search({ result_count: 1 }), found('a'))),
      { kind: 'asked' },
      event(taskResults(search({ result_count: 4 }), found('d'))),
      event(taskResults(search({ result_count: 5 }), found('e'))),
      { kind: 'fetched', task: search({ result_count: 4, results: found('a', 'b', 'c', 'd') }) },
    );
    expect(titles(state)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(state.gap).toBe(false);
    expect(state.since).toBeNull();
  });

  it('stays open where no answer comes', () => {
    const state = run(
      { kind: 'asked' },
      event(taskResults(search({ result_count: 2 }), found('b'))),
      { kind: 'unanswered' },
    );
    expect([state.gap, state.since]).toEqual([true, null]);
  });
});

describe('an answer', () => {
  it('does not undo what was told while it was under way', () => {
    const state = run(
      { kind: 'asked' },
      event(taskChanged('completed', search({ status: 'completed', result_count: 1 }))),
      { kind: 'fetched', task: search({ status: 'running', result_count: 1, results: found('a') }) },
    );
    expect(state.task?.status).toBe('completed');
    expect(titles(state)).toEqual(['a']);
  });

  it('that comes after a cut has what was missed', () => {
    const state = run(
      event(taskResults(search({ result_count: 1 }), found('a'))),
      { kind: 'asked' },
      { kind: 'fetched', task: search({ status: 'completed', result_count: 3, results: found('a', 'b', 'c') }) },
    );
    expect(titles(state)).toEqual(['a', 'b', 'c']);
  });

  it('to an earlier question counts for nothing', () => {
    const state = run({ kind: 'fetched', task: search({ id: 't2', results: found('a') }) });
    expect(state.task).toBeNull();
  });
});

describe('the parts of the plugins', () => {
  const failure = { plugin: 'broken', code: 'plugin_error', message: '出错了', messages: { zh: '出错了', en: 'wrong' }, file: null, line: null };

  it('say who is still searching, who has found what, and who failed', () => {
    const state = run(
      event(taskChanged('started', search({ searching: ['broken', 'demo', 'slow'] }))),
      event(taskResults(search({ result_count: 2, searching: ['broken', 'demo', 'slow'] }), found('a', 'b'))),
      event(taskProgress(search({ result_count: 2, answered: [{ plugin: 'demo', ms: 12.5 }], searching: ['slow'], failures: [failure] }))),
    );
    expect(partsOf(state)).toEqual([
      { plugin: 'broken', state: 'failed', count: 0, failure, ms: null },
      { plugin: 'demo', state: 'done', count: 2, failure: null, ms: 12.5 },
      { plugin: 'slow', state: 'searching', count: 0, failure: null, ms: null },
    ]);
  });

  it('are known of an old search as far as it tells', () => {
    const state = run(
      { kind: 'asked' },
      {
        kind: 'fetched',
        task: search({ status: 'completed', result_count: 1, results: found('a'), failures: [failure] }),
      },
    );
    expect(partsOf(state).map(({ plugin, state: one }) => [plugin, one])).toEqual([
      ['broken', 'failed'],
      ['demo', 'done'],
    ]);
  });

  it('are still when the search has ended', () => {
    const state = run(event(taskChanged('cancelled', search({ status: 'cancelled', searching: ['slow'] }))));
    expect(partsOf(state).map(({ state: one }) => one)).toEqual(['done']);
  });
});
