/** A list of tasks, from events and answers to what is shown. Pure. */

import type { Task, TaskKind, TaskPage, TaskStatus } from './taskModel';

export const STATUS_FILTERS = ['all', 'active', 'paused', 'completed', 'failed', 'cancelled'] as const;
export type StatusFilter = (typeof STATUS_FILTERS)[number];

/** The statuses that a filter lets through; none stands for all. */
export const FILTER_STATUSES: Record<StatusFilter, readonly TaskStatus[]> = {
  all: [],
  active: ['pending', 'running', 'downloading'],
  paused: ['paused'],
  completed: ['completed', 'handed_over'],
  failed: ['failed'],
  cancelled: ['cancelled'],
};

/** Which tasks are wanted. */
export interface TaskQuery {
  /** None stands for all. */
  kinds: readonly TaskKind[];
  status: StatusFilter;
  /** Each of these has to be in what the task is called. */
  words: string;
}

export interface TaskListState {
  query: TaskQuery;
  /** Newest first. */
  tasks: readonly Task[];
  /** Asks for those before the last page; null where there are none. */
  cursor: string | null;
  /** False until the first page of this query is there. */
  ready: boolean;
  /** The tasks of the events since a page was asked for, which it may not hold; null while none is under way. */
  since: readonly Task[] | null;
}

export type TaskListAction =
  | { kind: 'query'; query: TaskQuery }
  /** A page is being asked for. */
  | { kind: 'asked' }
  /** The newest tasks. */
  | { kind: 'fetched'; page: TaskPage }
  /** The ones before those that are shown. */
  | { kind: 'more'; page: TaskPage }
  /** No answer came. */
  | { kind: 'unanswered' }
  | { kind: 'event'; task: Task };

export function emptyList(query: TaskQuery): TaskListState {
  return { query, tasks: [], cursor: null, ready: false, since: null };
}

export function reduceTaskList(state: TaskListState, action: TaskListAction): TaskListState {
  switch (action.kind) {
    case 'query':
      return emptyList(action.query);
    case 'asked':
      return { ...state, since: [] };
    case 'fetched':
      return withPage({ ...state, tasks: [] }, action.page);
    case 'more':
      return withPage(state, action.page);
    case 'unanswered':
      return { ...state, since: null };
    case 'event':
      return {
        ...state,
        tasks: withTask(state.tasks, action.task, state.query),
        since: state.since === null ? null : [...state.since, action.task],
      };
  }
}

export function sameQuery(a: TaskQuery, b: TaskQuery): boolean {
  return a.status === b.status && a.words === b.words && a.kinds.join() === b.kinds.join();
}

/** Whether a task is one of those wanted, as the server would say. */
export function fits(task: Task, { kinds, status, words }: TaskQuery): boolean {
  const statuses = FILTER_STATUSES[status];
  if (statuses.length > 0 && !statuses.includes(task.status)) return false;
  if (kinds.length > 0 && !kinds.includes(task.kind)) return false;
  const wanted = folded(words).split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return true;
  const { title, keyword, plugin_name, url } = task;
  const called = folded([title, keyword, plugin_name, url, unescaped(url ?? '')].join('\n'));
  return wanted.every((word) => called.includes(word));
}

function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase();
}

function unescaped(address: string): string {
  try {
    return decodeURIComponent(address);
  } catch {
    return '';
  }
}

function withPage(state: TaskListState, page: TaskPage): TaskListState {
  const known = new Set(state.tasks.map(({ id }) => id));
  const older = page.tasks.filter(({ id }) => !known.has(id));
  // Of tasks that are shown already, an event may have told something newer than the page.
  const tasks = older.reduce((all, task) => inserted(all, task, false), state.tasks);
  return {
    ...state,
    tasks: (state.since ?? []).reduce((all, task) => withTask(all, task, state.query), tasks),
    cursor: page.next_cursor,
    ready: true,
    since: null,
  };
}

function withTask(tasks: readonly Task[], task: Task, query: TaskQuery): readonly Task[] {
  const index = tasks.findIndex(({ id }) => id === task.id);
  const wanted = fits(task, query);
  if (index < 0) return wanted ? inserted(tasks, task, true) : tasks;
  return wanted ? tasks.with(index, task) : tasks.toSpliced(index, 1);
}

/** The newest first; of those from the same millisecond, `first` says where the new one goes. */
function inserted(tasks: readonly Task[], task: Task, first: boolean): readonly Task[] {
  const at = tasks.findIndex(({ created_at: at }) => (first ? at <= task.created_at : at < task.created_at));
  return tasks.toSpliced(at < 0 ? tasks.length : at, 0, task);
}
