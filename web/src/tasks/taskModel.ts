/** Tasks as the server describes them, as far as the page reads them. */

import type { Task, TaskFailure, TaskStatus } from '../api/generated';
import type { Language } from '../api/model';

export { type Task, TASK_STATUSES, type TaskFailure, type TaskProblem, type TaskStatus } from '../api/generated';

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

/** What can be done with a download as it stands now. */
export type TaskAction = 'pause' | 'resume' | 'retry' | 'cancel';

export function actionsOf(task: Task): TaskAction[] {
  switch (task.status) {
    case 'pending':
      return ['pause', 'cancel'];
    case 'running':
    case 'downloading':
      return task.resumable || task.external_id !== null ? ['pause', 'cancel'] : ['cancel'];
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
