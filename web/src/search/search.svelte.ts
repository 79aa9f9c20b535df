/** The search that the page shows: begun here or by anybody, followed until it ends, at its place after a cut. */

import { ApiError } from '../api/api';
import { reduceSearch, noSearch, type SearchAction } from './searchState';
import type { LiveTopics } from '../live/socket';
import type { TaskApi } from '../tasks/taskApi';
import type { TaskEvent } from '../live/events';

export class Search {
  state = $state.raw(noSearch);
  /** Why the task cannot be shown; null where it can. */
  problem = $state.raw<unknown>(null);
  /** A search is being asked for. */
  starting = $state(false);

  /** The names of the plugins that the next search is for; null for all that are enabled. */
  chosen = $state.raw<ReadonlySet<string> | null>(null);

  /** The newest request; older answers no longer count. */
  private request = 0;

  constructor(
    private readonly api: TaskApi,
    private readonly live: LiveTopics,
  ) {}

  /** Whether the server no longer has it. */
  get gone(): boolean {
    return this.problem instanceof ApiError && this.problem.status === 404;
  }

  /**
   * Begins a search and returns its task.
   *
   * @param plugins null for all that are enabled
   * @throws ApiError
   */
  async start(keyword: string, plugins: readonly string[] | null): Promise<string> {
    this.starting = true;
    try {
      return (await this.api.search(keyword, plugins)).task_id;
    } finally {
      this.starting = false;
    }
  }

  /** Shows a search from now on; null for none. */
  async show(id: string | null): Promise<void> {
    const { id: old } = this.state;
    if (id === old) return;
    if (old !== null) this.live.unfollow(topicOf(old));
    this.dispatch({ kind: 'open', id });
    this.problem = null;
    this.request += 1;
    if (id === null) return;
    await this.live.follow(topicOf(id));
    if (this.state.id === id) await this.refresh();
  }

  /** Stops it; what was found stays. Throws ApiError. */
  async cancel(): Promise<void> {
    const { id } = this.state;
    if (id === null) return;
    await this.api.act(id, 'cancel');
    await this.refresh();
  }

  receive(event: TaskEvent): void {
    const had = this.state.gap;
    this.dispatch({ kind: 'event', event });
    // While an answer is under way, it may close the gap; that is looked at when it is there.
    if (this.state.gap && !had && this.state.since === null) void this.refresh();
  }

  /** Asks for all of it. Whatever goes wrong is shown, unless something is shown already. */
  async refresh(): Promise<void> {
    const { id } = this.state;
    if (id === null) return;
    const request = ++this.request;
    this.dispatch({ kind: 'asked' });
    try {
      const task = await this.api.task(id);
      if (request !== this.request) return;
      this.dispatch({ kind: 'fetched', task });
      this.problem = null;
    } catch (error) {
      if (request !== this.request) return;
      this.dispatch({ kind: 'unanswered' });
      this.problem = error;
    }
  }

  private dispatch(action: SearchAction): void {
    this.state = reduceSearch(this.state, action);
  }
}

function topicOf(id: string): string {
  return `tasks/${id}`;
}
