/** A list of tasks that a view shows, kept up to date, with what can be done with them. */

import { isTaskEvent, type LiveEvent } from '../live/events';
import type { Dashboard } from '../shell/dashboard.svelte';
import { Speeds } from './speeds';
import type { PageQuery } from './taskApi';
import {
  emptyList,
  FILTER_STATUSES,
  reduceTaskList,
  sameQuery,
  type TaskListAction,
  type TaskListState,
  type TaskQuery,
} from './taskListState';
import type { Task, TaskAction } from './taskModel';

/** More than this the server does not give at once. */
const PAGE_MAX = 500;
/** With more than this, told of one by one, the list begins anew. */
const SHOWN_MAX = 1_000;

export class TaskList {
  state: TaskListState;
  /** Why the list is not up to date; null where it is. */
  problem = $state.raw<unknown>(null);
  loadingMore = $state(false);
  /** Tasks with an action of this page under way. */
  acting = $state.raw<ReadonlySet<string>>(new Set());
  readonly speeds = new Speeds();

  /** Whether a view shows it, so that it is worth the traffic. */
  private wanted = false;
  private request = 0;

  /** @param page how many tasks are asked for at once */
  constructor(
    private readonly dashboard: Dashboard,
    query: TaskQuery,
    private readonly page: number,
  ) {
    this.state = $state.raw(emptyList(query));
  }

  /** Follows the tasks while they are shown. Returns what ends that. */
  watch(): () => void {
    this.wanted = true;
    const end = this.dashboard.follow({
      topics: ['tasks/*'],
      event: (event) => this.receive(event),
      caughtUp: () => void this.refresh(),
    });
    // Without a connection there is nothing to catch up with, but perhaps an answer.
    if (this.dashboard.connection.kind !== 'live') void this.refresh();
    return () => {
      this.wanted = false;
      this.speeds.clear();
      end();
    };
  }

  /** Shows other tasks, from the newest on. */
  async show(query: TaskQuery): Promise<void> {
    if (sameQuery(query, this.state.query)) return;
    this.dispatch({ kind: 'query', query });
    this.problem = null;
    await this.refresh();
  }

  /** Asks for as many as are shown. */
  async refresh(): Promise<void> {
    if (!this.wanted) return;
    await this.ask('fetched', { limit: Math.min(PAGE_MAX, Math.max(this.page, this.state.tasks.length)) });
  }

  async loadMore(): Promise<void> {
    const { cursor } = this.state;
    // Another request is about to bring a new cursor.
    if (cursor === null || this.state.since !== null) return;
    this.loadingMore = true;
    await this.ask('more', { limit: this.page, cursor });
    this.loadingMore = false;
  }

  /** Does something with a task; the event shows what came of it, and a message what went wrong. */
  async act(task: Task, action: TaskAction): Promise<void> {
    if (this.acting.has(task.id)) return;
    this.acting = new Set(this.acting).add(task.id);
    try {
      await this.dashboard.tasks.act(task.id, action);
      if (this.dashboard.connection.kind !== 'live') await this.refresh();
    } catch (error) {
      this.dashboard.report(error);
    } finally {
      const rest = new Set(this.acting);
      rest.delete(task.id);
      this.acting = rest;
    }
  }

  private receive(event: LiveEvent): void {
    if (!isTaskEvent(event)) return;
    const { task } = event.data;
    this.speeds.note(task, Date.now());
    this.dispatch({ kind: 'event', task });
    if (this.state.tasks.length > SHOWN_MAX && this.state.since === null) void this.refresh();
  }

  private async ask(kind: 'fetched' | 'more', part: Pick<PageQuery, 'limit' | 'cursor'>): Promise<void> {
    const request = ++this.request;
    const { kinds, status, words } = this.state.query;
    this.dispatch({ kind: 'asked' });
    try {
      const page = await this.dashboard.tasks.page({ kinds, statuses: FILTER_STATUSES[status], words, ...part });
      if (request !== this.request) return;
      this.dispatch({ kind, page });
      this.problem = null;
    } catch (error) {
      if (request !== this.request) return;
      this.dispatch({ kind: 'unanswered' });
      this.problem = error;
    }
  }

  private dispatch(action: TaskListAction): void {
    this.state = reduceTaskList(this.state, action);
  }
}
