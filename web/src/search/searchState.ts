/** One search, from events and answers to what is shown. Pure. */

import { asFound, type Found } from './found';
import type { TaskEvent } from '../live/events';
import { hasEnded, type Task, type TaskFailure } from '../tasks/taskModel';

export interface SearchState {
  /** The task; null while there is no search. */
  id: string | null;
  /** Null until something is known of it. */
  task: Task | null;
  /** In the order of arrival, complete up to its end. */
  results: readonly Found[];
  /** The plugins that are known to take part, in the order in which they were heard of. */
  asked: readonly string[];
  /** Something before what came is missing: the task has to be fetched again. */
  gap: boolean;
  /** The events since the task was asked for, which its answer may not hold; null while none is under way. */
  since: readonly TaskEvent[] | null;
}

export type SearchAction =
  | { kind: 'open'; id: string | null }
  /** The task is being asked for. */
  | { kind: 'asked' }
  | { kind: 'fetched'; task: Task }
  /** No answer came. */
  | { kind: 'unanswered' }
  | { kind: 'event'; event: TaskEvent };

export const noSearch: SearchState = { id: null, task: null, results: [], asked: [], gap: false, since: null };

export function reduceSearch(state: SearchState, action: SearchAction): SearchState {
  switch (action.kind) {
    case 'open':
      return { ...noSearch, id: action.id };
    case 'asked':
      return { ...state, since: [] };
    case 'fetched':
      return withAnswer(state, action.task);
    case 'unanswered':
      return { ...state, since: null };
    case 'event':
      if (action.event.data.task.id !== state.id) return state;
      return withEvent({ ...state, since: state.since === null ? null : [...state.since, action.event] }, action.event);
  }
}

function withAnswer(state: SearchState, task: Task): SearchState {
  if (task.id !== state.id) return state;
  const results = (task.results ?? []).map(asFound);
  const answered = withTask({ ...state, results, gap: false, since: null }, task);
  return (state.since ?? []).reduce(withEvent, answered);
}

function withEvent(state: SearchState, event: TaskEvent): SearchState {
  const { task } = event.data;
  switch (event.type) {
    case 'plugbay.task.results':
      return withResults(withTask(state, task), event.data.results, task.result_count);
    case 'plugbay.task.queued':
      // Tried again: it begins with nothing.
      return withTask({ ...state, results: [], gap: false }, task);
    case 'plugbay.task.completed':
    case 'plugbay.task.failed':
    case 'plugbay.task.cancelled':
      return withTask({ ...state, gap: state.gap || task.result_count > state.results.length }, task);
    case 'plugbay.task.created':
    case 'plugbay.task.started':
    case 'plugbay.task.paused':
    case 'plugbay.task.progress':
      return withTask(state, task);
    default:
      return event satisfies never;
  }
}

/** New results end at `count`; what is known of them already counts once, and what lies before them must be known. */
function withResults(state: SearchState, news: unknown[], count: number): SearchState {
  const known = state.results.length;
  const first = count - news.length;
  if (first > known) return { ...state, gap: true };
  const fresh = news.slice(known - first);
  if (fresh.length === 0) return state;
  return { ...state, results: [...state.results, ...fresh.map((raw, index) => asFound(raw, known + index))] };
}

function withTask(state: SearchState, task: Task): SearchState {
  const named = [
    ...(task.plugins ?? []),
    ...task.searching,
    ...task.answered.map(({ plugin }) => plugin),
    ...task.failures.map(({ plugin }) => plugin),
    ...(state.results.length > 0 && hasEnded(task) ? state.results.map(({ plugin }) => plugin) : []),
  ];
  const news = new Set(named.filter((name) => name !== '' && !state.asked.includes(name)));
  return { ...state, task, asked: news.size === 0 ? state.asked : [...state.asked, ...news] };
}

/** How one plugin's part of the search stands. */
export interface Part {
  plugin: string;
  state: 'searching' | 'done' | 'failed';
  count: number;
  failure: TaskFailure | null;
  /** How long it took; null while it is at work, or where it was stopped. */
  ms: number | null;
}

export function partsOf({ task, results, asked }: SearchState): Part[] {
  if (task === null) return [];
  const counts = new Map<string, number>();
  for (const { plugin } of results) counts.set(plugin, (counts.get(plugin) ?? 0) + 1);
  const names = new Set([...asked, ...[...counts.keys()].filter(Boolean)]);
  return [...names].map((plugin) => {
    const failure = task.failures.find((one) => one.plugin === plugin) ?? null;
    const searching = !hasEnded(task) && task.searching.includes(plugin);
    const state = failure !== null ? 'failed' : searching ? 'searching' : 'done';
    const ms = task.answered.find((one) => one.plugin === plugin)?.ms ?? null;
    return { plugin, state, count: counts.get(plugin) ?? 0, failure, ms };
  });
}
