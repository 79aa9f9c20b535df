/** The list of downloads, from events and answers to what is shown. Pure. */

import type { Task, TaskPage, TaskStatus } from '../tasks/taskModel';

export const DOWNLOAD_FILTERS = ['all', 'active', 'paused', 'completed', 'failed', 'cancelled'] as const;
export type DownloadFilter = (typeof DOWNLOAD_FILTERS)[number];

/** The statuses that a filter lets through; none stands for all. */
export const FILTER_STATUSES: Record<DownloadFilter, readonly TaskStatus[]> = {
  all: [],
  active: ['pending', 'downloading'],
  paused: ['paused'],
  completed: ['completed', 'handed_over'],
  failed: ['failed'],
  cancelled: ['cancelled'],
};

export interface DownloadsState {
  filter: DownloadFilter;
  /** Newest first. */
  tasks: readonly Task[];
  /** Asks for those before the last page; null where there are none. */
  cursor: string | null;
  /** False until the first page for this filter is there. */
  ready: boolean;
  /** The tasks of the events since a page was asked for, which it may not hold; null while none is under way. */
  since: readonly Task[] | null;
}

export type DownloadsAction =
  | { kind: 'filter'; filter: DownloadFilter }
  /** A page is being asked for. */
  | { kind: 'asked' }
  /** The newest tasks. */
  | { kind: 'fetched'; page: TaskPage }
  /** The ones before those that are shown. */
  | { kind: 'more'; page: TaskPage }
  /** No answer came. */
  | { kind: 'unanswered' }
  | { kind: 'event'; task: Task };

export const noDownloads: DownloadsState = { filter: 'all', tasks: [], cursor: null, ready: false, since: null };

export function reduceDownloads(state: DownloadsState, action: DownloadsAction): DownloadsState {
  switch (action.kind) {
    case 'filter':
      return { ...noDownloads, filter: action.filter };
    case 'asked':
      return { ...state, since: [] };
    case 'fetched':
      return withPage({ ...state, tasks: [] }, action.page);
    case 'more':
      return withPage(state, action.page);
    case 'unanswered':
      return { ...state, since: null };
    case 'event':
      if (action.task.kind !== 'download') return state;
      return {
        ...state,
        tasks: withTask(state.tasks, action.task, state.filter),
        since: state.since === null ? null : [...state.since, action.task],
      };
  }
}

function withPage(state: DownloadsState, page: TaskPage): DownloadsState {
  const known = new Set(state.tasks.map(({ id }) => id));
  const older = page.tasks.filter(({ id }) => !known.has(id));
  // Of tasks that are shown already, an event may have told something newer than the page.
  const tasks = older.reduce((all, task) => inserted(all, task, false), state.tasks);
  return {
    ...state,
    tasks: (state.since ?? []).reduce((all, task) => withTask(all, task, state.filter), tasks),
    cursor: page.next_cursor,
    ready: true,
    since: null,
  };
}

function withTask(tasks: readonly Task[], task: Task, filter: DownloadFilter): readonly Task[] {
  const statuses = FILTER_STATUSES[filter];
  const fits = statuses.length === 0 || statuses.includes(task.status);
  const index = tasks.findIndex(({ id }) => id === task.id);
  if (index < 0) return fits ? inserted(tasks, task, true) : tasks;
  return fits ? tasks.with(index, task) : tasks.toSpliced(index, 1);
}

/** The newest first; of those from the same millisecond, `first` says where the new one goes. */
function inserted(tasks: readonly Task[], task: Task, first: boolean): readonly Task[] {
  const at = tasks.findIndex(({ created_at: at }) => (first ? at <= task.created_at : at < task.created_at));
  return tasks.toSpliced(at < 0 ? tasks.length : at, 0, task);
}
