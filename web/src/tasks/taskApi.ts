/** The routes of searches, downloads and tasks, as far as the page uses them. */

import type { Api } from '../api/api';
import type { Platform, Task, TaskAction, TaskPage, TaskStatus } from './taskModel';

export interface PageQuery {
  statuses: readonly TaskStatus[];
  limit: number;
  cursor?: string;
}

export class TaskApi {
  constructor(private readonly api: Api) {}

  /** @param plugins null for all that are enabled */
  search(keyword: string, plugins: readonly string[] | null): Promise<{ task_id: string }> {
    return this.api.send('POST', '/api/search', { keyword, ...(plugins === null ? {} : { plugins }) });
  }

  /** @param plugin null for the one that fits best */
  async download(url: string, title: string, plugin: string | null): Promise<Task> {
    const body = { url, title, ...(plugin === null ? {} : { plugin_name: plugin }) };
    return (await this.api.send<{ task: Task }>('POST', '/api/download', body)).task;
  }

  task(id: string): Promise<Task> {
    return this.api.send('GET', `/api/tasks/${encodeURIComponent(id)}`);
  }

  downloads({ statuses, limit, cursor }: PageQuery): Promise<TaskPage> {
    const query = new URLSearchParams({ kind: 'download', limit: String(limit) });
    if (statuses.length > 0) query.set('status', statuses.join(','));
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
