/** Tasks as the server describes them, as far as the page reads them. */

import type { Task, TaskFailure, TaskKind, TaskStatus } from '../api/generated';
import type { Language } from '../api/model';

export {
  type Task,
  TASK_STATUSES,
  type TaskFailure,
  type TaskKind,
  type TaskProblem,
  type TaskStatus,
} from '../api/generated';

/** In the order in which a reader chooses between them. */
export const KINDS_IN_ORDER = ['download', 'search', 'parse'] as const satisfies readonly TaskKind[];

export interface TaskPage {
  tasks: Task[];
  next_cursor: string | null;
}

/** A download plugin with what belongs to the program behind it. */
export interface Platform {
  name: string;
  web_ui_url: string | null;
  downloads: readonly unknown[];
  error?: string;
}

const ENDED: ReadonlySet<TaskStatus> = new Set(['completed', 'failed', 'cancelled', 'handed_over']);

/** Whether nothing more happens to it by itself. */
export function hasEnded({ status }: Task): boolean {
  return ENDED.has(status);
}

/** Why it failed, in the reader's language; empty where it did not. */
export function taskError({ problem, error }: Task, language: Language): string {
  return problem?.messages?.[language] ?? error ?? '';
}

export function failureMessage(failure: TaskFailure, language: Language): string {
  return failure.messages?.[language] ?? failure.message;
}

/** How many milliseconds it took; null where it has not ended. */
export function tookMs({ started_at, completed_at }: Task): number | null {
  if (started_at === null || completed_at === null) return null;
  return Math.max(0, Date.parse(completed_at) - Date.parse(started_at));
}

/** What can be done with a task as it stands now. */
export type TaskAction = 'pause' | 'resume' | 'retry' | 'cancel';

export function actionsOf(task: Task): TaskAction[] {
  const canPause = task.kind === 'download';
  switch (task.status) {
    case 'pending':
      return canPause ? ['pause', 'cancel'] : ['cancel'];
    case 'running':
    case 'downloading':
      return canPause && (task.resumable || task.external_id !== null) ? ['pause', 'cancel'] : ['cancel'];
    case 'paused':
      return ['resume', 'cancel'];
    case 'failed':
    case 'cancelled':
      return ['retry'];
    case 'completed':
    case 'handed_over':
      return [];
  }
}
