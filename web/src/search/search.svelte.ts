/** The search or parse that the page shows: begun here or by anybody, followed until it ends, at its place after a cut. */

import { ApiError } from '../api/api';
import { isTaskEvent, type LiveEvent } from '../live/events';
import type { Dashboard } from '../shell/dashboard.svelte';
import { NO_FILTER, type Filter, type Sort } from './arrange';
import { noSearch, reduceSearch, type SearchAction } from './searchState';

/** Words are searched for, addresses parsed. */
export type Mode = 'words' | 'address';

export class Search {
  state = $state.raw(noSearch);
  /** Why the task cannot be shown; null where it can. */
  problem = $state.raw<unknown>(null);
  /** A search is being asked for. */
  starting = $state(false);
  /** The address that parsers are at work on; null where none is. */
  parsing = $state<string | null>(null);

  /** The names of the plugins that the next search or parse is for; null for all that are enabled. */
  chosen = $state.raw<Readonly<Record<Mode, ReadonlySet<string> | null>>>({ words: null, address: null });
  filter = $state.raw<Filter>(NO_FILTER);
  sort = $state<Sort>('arrival');

  /** The newest request; older answers no longer count. */
  private request = 0;
  private stopParsing: AbortController | null = null;

  constructor(private readonly dashboard: Dashboard) {}

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
      return (await this.dashboard.tasks.search(keyword, plugins)).task_id;
    } finally {
      this.starting = false;
    }
  }

  /**
   * Has an address parsed and returns the task of it when all parsers are done; null where it was stopped.
   *
   * @param plugins null for all that are enabled and take it
   * @throws ApiError
   */
  async parse(address: string, plugins: readonly string[] | null): Promise<string | null> {
    this.cancelParse();
    const stop = (this.stopParsing = new AbortController());
    this.parsing = address;
    try {
      return (await this.dashboard.tasks.parse(address, plugins, stop.signal)).task_id;
    } catch (error) {
      if (stop.signal.aborted) return null;
      throw error;
    } finally {
      if (this.stopParsing === stop) {
        this.stopParsing = null;
        this.parsing = null;
      }
    }
  }

  /** Gives up the parse that was asked for here, if any. */
  cancelParse(): void {
    this.stopParsing?.abort();
    this.stopParsing = null;
    this.parsing = null;
  }

  /** Shows a search, null for none, and follows it. Returns what ends that; what is shown stays for the next visit. */
  watch(id: string | null): () => void {
    if (id !== this.state.id) {
      this.dispatch({ kind: 'open', id });
      this.problem = null;
      this.filter = NO_FILTER;
    }
    this.request += 1;
    if (id === null) return () => undefined;
    const end = this.dashboard.follow({
      topics: [`tasks/${id}`],
      event: (event) => this.receive(event),
      caughtUp: () => void this.refresh(),
    });
    // Without a connection there is nothing to catch up with, but perhaps an answer.
    if (this.dashboard.connection.kind !== 'live') void this.refresh();
    return end;
  }

  /** Stops it; what was found stays. Throws ApiError. */
  async cancel(): Promise<void> {
    const { id } = this.state;
    if (id === null) return;
    await this.dashboard.tasks.act(id, 'cancel');
    await this.refresh();
  }

  /** Asks for all of it. Whatever goes wrong is shown, unless something is shown already. */
  async refresh(): Promise<void> {
    const { id } = this.state;
    if (id === null) return;
    const request = ++this.request;
    this.dispatch({ kind: 'asked' });
    try {
      const task = await this.dashboard.tasks.task(id);
      if (request !== this.request) return;
      this.dispatch({ kind: 'fetched', task });
      this.problem = null;
    } catch (error) {
      if (request !== this.request) return;
      this.dispatch({ kind: 'unanswered' });
      this.problem = error;
    }
  }

  private receive(event: LiveEvent): void {
    if (!isTaskEvent(event)) return;
    const had = this.state.gap;
    this.dispatch({ kind: 'event', event });
    // While an answer is under way, it may close the gap; that is looked at when it is there.
    if (this.state.gap && !had && this.state.since === null) void this.refresh();
  }

  private dispatch(action: SearchAction): void {
    this.state = reduceSearch(this.state, action);
  }
}

const searches = new WeakMap<Dashboard, Search>();

/** The dashboard's one search, which outlives the visits to its page. */
export function searchOf(dashboard: Dashboard): Search {
  const known = searches.get(dashboard) ?? new Search(dashboard);
  searches.set(dashboard, known);
  return known;
}
