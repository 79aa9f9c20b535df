/** The list of downloads that the page shows, with what can be done with them. */

import { type DownloadFilter, type DownloadsAction, FILTER_STATUSES, noDownloads, reduceDownloads } from './downloadsState';
import type { LiveTopics } from '../live/socket';
import type { TaskApi } from '../tasks/taskApi';
import type { TaskEvent } from '../live/events';
import type { Platform, Task, TaskAction } from '../tasks/taskModel';

const PAGE = 50;
/** More than this the server does not give at once. */
const PAGE_MAX = 500;
const TOPIC = 'tasks/*';

export class Downloads {
  state = $state.raw(noDownloads);
  /** Why the list is not up to date; null where it is. */
  problem = $state.raw<unknown>(null);
  loadingMore = $state(false);
  /** Tasks with an action of this page under way. */
  acting = $state.raw<ReadonlySet<string>>(new Set());
  /** The pages of the programs that download. */
  platforms = $state.raw<readonly Platform[]>([]);

  /** Whether a view shows it, so that it is worth the traffic. */
  private wanted = false;
  private request = 0;

  constructor(
    private readonly api: TaskApi,
    private readonly live: LiveTopics,
  ) {}

  /** Follows all downloads while they are shown. Returns what ends that. */
  watch(): () => void {
    this.wanted = true;
    void this.live.follow(TOPIC).then(() => this.refresh());
    return () => {
      this.wanted = false;
      this.live.unfollow(TOPIC);
    };
  }

  receive(event: TaskEvent): void {
    if (this.wanted) this.dispatch({ kind: 'event', task: event.data.task });
  }

  /** Shows only downloads of that status, from the newest on. */
  async filter(filter: DownloadFilter): Promise<void> {
    if (filter === this.state.filter) return;
    this.dispatch({ kind: 'filter', filter });
    await this.refresh();
  }

  /** Asks for as many as are shown. */
  async refresh(): Promise<void> {
    if (!this.wanted) return;
    await this.ask('fetched', { limit: Math.min(PAGE_MAX, Math.max(PAGE, this.state.tasks.length)) });
  }

  async loadMore(): Promise<void> {
    const { cursor } = this.state;
    // Another request is about to bring a new cursor.
    if (cursor === null || this.state.since !== null) return;
    this.loadingMore = true;
    await this.ask('more', { limit: PAGE, cursor });
    this.loadingMore = false;
  }

  async loadPlatforms(): Promise<void> {
    try {
      this.platforms = await this.api.platforms();
    } catch {
      // The links are a convenience; what is wrong with the server shows elsewhere.
      this.platforms = [];
    }
  }

  /**
   * Does something with a task; the event shows what came of it.
   *
   * @throws ApiError
   */
  async act(task: Task, action: TaskAction): Promise<void> {
    if (this.acting.has(task.id)) return;
    this.acting = new Set(this.acting).add(task.id);
    try {
      await this.api.act(task.id, action);
    } finally {
      const rest = new Set(this.acting);
      rest.delete(task.id);
      this.acting = rest;
    }
  }

  private async ask(kind: 'fetched' | 'more', query: { limit: number; cursor?: string }): Promise<void> {
    const request = ++this.request;
    this.dispatch({ kind: 'asked' });
    try {
      const page = await this.api.downloads({ statuses: FILTER_STATUSES[this.state.filter], ...query });
      if (request !== this.request) return;
      this.dispatch({ kind, page });
      this.problem = null;
    } catch (error) {
      if (request !== this.request) return;
      this.dispatch({ kind: 'unanswered' });
      this.problem = error;
    }
  }

  private dispatch(action: DownloadsAction): void {
    this.state = reduceDownloads(this.state, action);
  }
}
