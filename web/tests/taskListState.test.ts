import { describe, expect, it } from 'vitest';
import { emptyList, fits, reduceTaskList, type TaskListAction, type TaskListState, type TaskQuery } from '../src/tasks/taskListState';
import type { Task } from '../src/tasks/taskModel';
import { task } from './sample';

const DOWNLOADS: TaskQuery = { kinds: ['download'], status: 'all', words: '' };

/** A download that was begun in that second. */
const at = (second: number, changes: Partial<Task> = {}): Task =>
  task({ id: `d${second}`, created_at: `2026-11-22T12:00:${String(second).padStart(2, '0')}.000Z`, ...changes });
const event = (one: Task): TaskListAction => ({ kind: 'event', task: one });
const page = (tasks: Task[], next_cursor: string | null = null): { tasks: Task[]; next_cursor: string | null } => ({
  tasks,
  next_cursor,
});
const run = (...actions: TaskListAction[]): TaskListState => actions.reduce(reduceTaskList, emptyList(DOWNLOADS));
const ids = (state: TaskListState): string[] => state.tasks.map(({ id }) => id);

describe('the list of downloads', () => {
  it('has the newest first, wherever it hears of them', () => {
    const state = run({ kind: 'fetched', page: page([at(5), at(3)]) }, event(at(7)), event(at(4)));
    expect(ids(state)).toEqual(['d7', 'd5', 'd4', 'd3']);
  });

  it('puts the newest first also within one millisecond', () => {
    const state = run(
      { kind: 'fetched', page: page([at(1, { id: 'b' }), at(1, { id: 'a' })]) },
      event(at(1, { id: 'c' })),
    );
    expect(ids(state)).toEqual(['c', 'b', 'a']);
  });

  it('shows the newest that is known of each', () => {
    const state = run(
      { kind: 'fetched', page: page([at(1)]) },
      event(at(1, { status: 'downloading', progress: 20 })),
      event(at(1, { status: 'downloading', progress: 60 })),
    );
    expect(state.tasks).toEqual([at(1, { status: 'downloading', progress: 60 })]);
  });

  it('has downloads only', () => {
    expect(ids(run(event(at(1, { kind: 'search' })), event(at(2))))).toEqual(['d2']);
  });

  it('goes on where the last page ended', () => {
    const state = run(
      { kind: 'fetched', page: page([at(5), at(4)], '4') },
      { kind: 'asked' },
      { kind: 'more', page: page([at(4), at(3)]) },
    );
    expect(ids(state)).toEqual(['d5', 'd4', 'd3']);
    expect(state.cursor).toBeNull();
  });

  it('keeps what was told while a page was under way', () => {
    const state = run(
      { kind: 'asked' },
      event(at(2, { status: 'completed' })),
      event(at(3)),
      { kind: 'fetched', page: page([at(2, { status: 'downloading', progress: 90 }), at(1)]) },
    );
    expect(state.tasks.map(({ id, status }) => [id, status])).toEqual([
      ['d3', 'pending'],
      ['d2', 'completed'],
      ['d1', 'pending'],
    ]);
    expect(state.since).toBeNull();
  });

  it('forgets what the server no longer has when it is fetched again', () => {
    const state = run(
      { kind: 'fetched', page: page([at(2), at(1)]) },
      { kind: 'asked' },
      { kind: 'fetched', page: page([at(2)]) },
    );
    expect(ids(state)).toEqual(['d2']);
  });
});

describe('a filter', () => {
  const failed: TaskListAction = { kind: 'query', query: { ...DOWNLOADS, status: 'failed' } };

  it('begins with nothing', () => {
    expect(run(event(at(1)), failed)).toEqual(emptyList({ ...DOWNLOADS, status: 'failed' }));
  });

  it('lets downloads come and go as their status changes', () => {
    const one = run(failed, event(at(1, { status: 'downloading' })), event(at(1, { status: 'failed' })));
    expect(ids(one)).toEqual(['d1']);
    expect(ids(reduceTaskList(one, event(at(1, { status: 'pending' }))))).toEqual([]);
  });

  it('counts also for what was told while a page was under way', () => {
    const state = run(
      failed,
      { kind: 'asked' },
      event(at(1, { status: 'pending' })),
      { kind: 'more', page: page([at(1, { status: 'failed' })]) },
    );
    expect(ids(state)).toEqual([]);
  });

  it('takes a download that was handed over for a completed one', () => {
    const state = run({ kind: 'query', query: { ...DOWNLOADS, status: 'completed' } }, event(at(1, { status: 'handed_over' })));
    expect(ids(state)).toEqual(['d1']);
  });
});

describe('words', () => {
  const called = at(1, {
    title: 'Night Train',
    plugin_name: 'http',
    url: 'https://Example.org/%E5%A4%9C.mp4',
  });

  it.each([
    ['', true],
    ['night  TRAIN', true],
    ['ｎｉｇｈｔ', true],
    ['夜 http', true],
    ['example.org/%e5', true],
    ['night day', false],
  ])('%j of what a task is called: %j', (words, expected) => {
    expect(fits(called, { ...DOWNLOADS, words })).toBe(expected);
  });

  it('may be of any kind', () => {
    expect(fits(at(1, { kind: 'parse' }), { ...DOWNLOADS, kinds: [] })).toBe(true);
    expect(fits(at(1, { kind: 'parse' }), { ...DOWNLOADS, kinds: ['search', 'parse'] })).toBe(true);
    expect(fits(at(1, { kind: 'parse' }), DOWNLOADS)).toBe(false);
  });
});
