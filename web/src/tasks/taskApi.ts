/** The routes of searches, parses, downloads and tasks, as far as the page uses them. */

import type { Api } from '../api/api';
import type { Platform, Task, TaskAction, TaskKind, TaskPage, TaskStatus } from './taskModel';

/** What a list of tasks is asked for; what is empty stands for all. */
export interface PageQuery {
  kinds: readonly TaskKind[];
  statuses: readonly TaskStatus[];
  words: string;
  limit: number;
  cursor?: string;
}

export class TaskApi {
  constructor(private readonly api: Api) {}

  /** @param plugins null for all that are enabled */
  search(keyword: string, plugins: readonly string[] | null): Promise<{ task_id: string }> {
    return this.api.send('POST', '/api/search', { keyword, ...(plugins === null ? {} : { plugins }) });
  }

  /**
   * Has an address taken apart; the answer comes when all parsers are done.
   *
   * @param plugins null for all that are enabled and take it
   */
  parse(url: string, plugins: readonly string[] | null, signal: AbortSignal): Promise<{ task_id: string }> {
    return this.api.send('POST', '/api/parse', { url, ...(plugins === null ? {} : { plugins }) }, signal);
  }

  /** @param plugin null for the one that fits best */
  async download(url: string, title: string, plugin: string | null): Promise<Task> {
    const body = { url, title, ...(plugin === null ? {} : { plugin_name: plugin }) };
    return (await this.api.send<{ task: Task }>('POST', '/api/download', body)).task;
  }

  task(id: string): Promise<Task> {
    return this.api.send('GET', `/api/tasks/${encodeURIComponent(id)}`);
  }

  page({ kinds, statuses, words, limit, cursor }: PageQuery): Promise<TaskPage> {
    const query = new URLSearchParams({ limit: String(limit) });
    if (kinds.length > 0) query.set('kind', kinds.join(','));
    if (statuses.length > 0) query.set('status', statuses.join(','));
    if (words.trim() !== '') query.set('q', words.trim());
    if (cursor !== undefined) query.set('cursor', cursor);
    return this.api.send('GET', `/api/tasks?${query}`);
  }

  act(id: string, action: TaskAction): Promise<Task> {
    return this.api.send('POST', `/api/tasks/${encodeURIComponent(id)}/${action}`);
  }

  async platforms(): Promise<Platform[]> {
    return (await this.api.send<{ platforms: Platform[] }>('GET', '/api/downloads')).platforms;
  }
}
