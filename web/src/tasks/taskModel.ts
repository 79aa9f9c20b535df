/** Tasks as the server describes them, as far as the page reads them. */

import type { Language } from '../api/model';

export const TASK_STATUSES = [
  'pending',
  'running',
  'downloading',
  'paused',
  'completed',
  'failed',
  'cancelled',
  'handed_over',
] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

export const TASK_KINDS = ['download', 'search', 'parse'] as const;
export type TaskKind = (typeof TASK_KINDS)[number];

/** Why a task failed: the problem object of a request, with its text in both languages. */
export interface TaskProblem {
  code: string;
  detail: string;
  messages?: Record<Language, string>;
  /** What the plugin raised. */
  error?: { traceback?: string | null } | null;
}

export interface TaskFailure {
  plugin: string;
  code: string;
  message: string;
  messages?: Record<Language, string>;
}

/** A plugin that has done its part, well or not, and how many milliseconds it took. */
export interface TaskAnswer {
  plugin: string;
  ms: number;
}

/** Times are ISO 8601, sizes bytes, `speed` bytes a second, `eta` seconds, `progress` 0 to 100. */
export interface Task {
  id: string;
  kind: TaskKind;
  status: TaskStatus;
  plugin_name: string | null;
  title: string;
  url: string | null;
  keyword: string | null;
  plugins: string[] | null;
  progress: number;
  progress_message: string;
  downloaded: number | null;
  total: number | null;
  speed: number | null;
  eta: number | null;
  error: string | null;
  problem: TaskProblem | null;
  /** What plugins found, as they gave it; events and lists leave it out. */
  results: unknown[] | null;
  result_count: number;
  failures: TaskFailure[];
  /** The plugins that have not answered yet. */
  searching: string[];
  answered: TaskAnswer[];
  save_path: string | null;
  /** What another program calls the download. */
  external_id: string | null;
  /** Whether it can be paused. */
  resumable: boolean;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
}

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
