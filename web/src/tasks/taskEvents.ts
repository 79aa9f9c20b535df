/** The events of tasks. `task` comes without its results. */

import type { Envelope } from '../live/events';
import type { Task } from './taskModel';

export type TaskChangeType =
  | 'plugbay.task.created'
  | 'plugbay.task.queued'
  | 'plugbay.task.started'
  | 'plugbay.task.paused'
  | 'plugbay.task.completed'
  | 'plugbay.task.failed'
  | 'plugbay.task.cancelled';

export type TaskChangeEvent = { [Type in TaskChangeType]: Envelope<Type, { task: Task }> }[TaskChangeType];
/** Passing: the newest stands for those before it, and none is replayed. */
export type TaskProgressEvent = Envelope<'plugbay.task.progress', { task: Task }>;
/** What a search has found since the event before, in the order in which it came. */
export type TaskResultsEvent = Envelope<'plugbay.task.results', { task: Task; results: unknown[] }>;

export type TaskEvent = TaskChangeEvent | TaskProgressEvent | TaskResultsEvent;

export const TASK_EVENT_TYPES: readonly TaskEvent['type'][] = [
  'plugbay.task.created',
  'plugbay.task.queued',
  'plugbay.task.started',
  'plugbay.task.paused',
  'plugbay.task.progress',
  'plugbay.task.results',
  'plugbay.task.completed',
  'plugbay.task.failed',
  'plugbay.task.cancelled',
];
