/** What the components read and call: the state, the connection and the actions, joined. */

import { connectionActivity, refusedActivity } from '../activity/activity';
import { Api, ApiError } from '../api/api';
import { Downloads } from '../downloads/downloads.svelte';
import { isPlugbayEvent, isTaskEvent, type LiveEvent, TOPICS } from '../live/events';
import { matches } from '../live/topics';
import { formatMs } from '../ui/format';
import { errorMessage, plainError, type Plugin, type Position } from '../api/model';
import { preferences, t } from '../ui/preferences.svelte';
import { Search } from '../search/search.svelte';
import { type ConnectionStatus, DoNotRetry, LiveConnection } from '../live/socket';
import { type Action, initialState, type InstallStage, reduce } from '../plugins/state';
import { TaskApi } from '../tasks/taskApi';
import type { Task, TaskAction } from '../tasks/taskModel';
import { toasts } from '../ui/toasts.svelte';

const TICK_MS = 1_000;
const COUNTS_MS = 10_000;

/** A view that wants to hear more than of plugins while it is open. */
export interface Follower {
  topics: readonly string[];
  event(event: LiveEvent): void;
  /** The topics are in force, now and after every cut: what was before is told to nobody, and can be asked for now. */
  caughtUp(): void;
}

export class Dashboard {
  state = $state.raw(initialState);
  connection = $state.raw<ConnectionStatus>({ kind: 'connecting' });
  /** Tries that failed since the connection last stood; it does not go back and forth with every try. */
  failures = $state(0);
  /** Milliseconds since the epoch, every second. */
  now = $state(Date.now());
  /** Plugins with an action of this page under way. */
  acting = $state.raw<ReadonlySet<string>>(new Set());
  reloadingAll = $state(false);

  readonly api = new Api(() => preferences.language);
  readonly tasks = new TaskApi(this.api);
  readonly search: Search;
  readonly downloads: Downloads;
  private readonly live: LiveConnection;
  private readonly followers = new Set<Follower>();

  constructor(socketUrl: string) {
    this.live = new LiveConnection(socketUrl, TOPICS, {
      snapshot: () => this.snapshot(),
      probe: async () => {
        await this.ask();
      },
      event: (event) => {
        for (const follower of this.followers) {
          if (follower.topics.some((topic) => matches(topic, event.subject))) follower.event(event);
        }
        if (isPlugbayEvent(event)) this.dispatch({ kind: 'event', event });
        if (!isTaskEvent(event)) return;
        this.search.receive(event);
        this.downloads.receive(event);
      },
      status: (status) => {
        this.connection = status;
        if (status.kind !== 'connecting') this.failures = status.kind === 'waiting' ? status.attempt : 0;
        if (status.kind !== 'live') return;
        void this.refreshTasks();
        for (const follower of this.followers) follower.caughtUp();
      },
      resumed: (how, replayed) => {
        const kind = how === 'replayed' ? 'resumed' : 'resynced';
        this.dispatch({ kind: 'activity', activity: connectionActivity(kind, replayed, new Date()) });
      },
    });
    this.search = new Search(this.tasks, this.live);
    this.downloads = new Downloads(this.tasks, this.live);
  }

  /** Starts the connection and the clock. Returns what ends both. */
  start(): () => void {
    const clock = setInterval(() => {
      this.now = Date.now();
    }, TICK_MS);
    const counts = setInterval(() => void this.refreshCounts(), COUNTS_MS);
    const wake = (): void => {
      if (document.visibilityState === 'visible') this.live.retryNow();
    };
    window.addEventListener('online', wake);
    document.addEventListener('visibilitychange', wake);
    this.connect();
    return () => {
      clearInterval(clock);
      clearInterval(counts);
      window.removeEventListener('online', wake);
      document.removeEventListener('visibilitychange', wake);
      this.live.close();
    };
  }

  /** Connects again after the connection was stopped, or at once where it waits. */
  connect(): void {
    this.live.retryNow();
    void this.live.run();
  }

  /** Tells a view of the events of its topics until the function that this returns is called. */
  follow(follower: Follower): () => void {
    this.followers.add(follower);
    const inForce = Promise.all(follower.topics.map((topic) => this.live.follow(topic)));
    void inForce.then(() => {
      if (this.followers.has(follower) && this.connection.kind === 'live') follower.caughtUp();
    });
    return () => {
      if (!this.followers.delete(follower)) return;
      for (const topic of follower.topics) this.live.unfollow(topic);
    };
  }

  async toggle(plugin: Plugin, enabled: boolean): Promise<void> {
    await this.act(plugin, async () => {
      await this.api.toggle(plugin, enabled);
      toasts.add('good', t(enabled ? 'toast.enabled' : 'toast.disabled', { name: plugin.id }));
    });
  }

  async reload(plugin: Plugin): Promise<void> {
    await this.act(plugin, async () => {
      const { results, message } = await this.api.reload(plugin);
      const result = results[0];
      if (result === undefined) {
        toasts.add('good', message);
      } else if (result.ok) {
        const params = { name: plugin.id, generation: result.generation, ms: formatMs(result.ms) };
        toasts.add('good', t('toast.reloaded', params));
      } else {
        const text = result.error ? errorMessage(result.error, preferences.language) : '';
        toasts.add('bad', t('toast.reloadFailed', { name: plugin.id }), text);
      }
    });
  }

  async reloadAll(): Promise<void> {
    this.reloadingAll = true;
    try {
      const { message, fail_count } = await this.api.reloadAll();
      toasts.add(fail_count > 0 ? 'warn' : 'good', message);
      await this.catchUp();
    } catch (error) {
      this.report(error);
    } finally {
      this.reloadingAll = false;
    }
  }

  async remove(plugin: Plugin, purge: boolean): Promise<void> {
    await this.act(plugin, async () => {
      const { message, running_calls } = await this.api.remove(plugin, purge);
      toasts.add('good', message, running_calls > 0 ? t('toast.running', { n: running_calls }) : '');
    });
  }

  /** Ends the line of an install that this page asked for: the server announces only what goes well. */
  installRefused({ id, url }: InstallStage, error: unknown): void {
    const code = error instanceof ApiError ? error.code : '';
    const reason = (error instanceof ApiError ? error.loadError : null) ?? plainError(code, describe(error));
    this.dispatch({ kind: 'activity', activity: refusedActivity(id, url, reason, new Date()) });
  }

  /** Events bring what an action changed; without a connection it is fetched. */
  async catchUp(): Promise<void> {
    if (this.connection.kind !== 'live') await this.snapshot();
  }

  /**
   * Begins a download and says so.
   *
   * @param plugin null for the one that fits best
   * @throws ApiError
   */
  async download(url: string, title: string, plugin: string | null = null): Promise<void> {
    const task = await this.tasks.download(url, title, plugin);
    toasts.add('good', t('download.added'), task.title || task.url || '');
    await this.catchUpTasks();
  }

  async actOnDownload(task: Task, action: TaskAction): Promise<void> {
    try {
      await this.downloads.act(task, action);
    } catch (error) {
      this.report(error);
    }
    await this.catchUpTasks();
  }

  private async catchUpTasks(): Promise<void> {
    if (this.connection.kind !== 'live') await this.refreshTasks();
  }

  /** Nothing of tasks is replayed after a cut, so they are asked for again. */
  private async refreshTasks(): Promise<void> {
    await Promise.all([this.search.refresh(), this.downloads.refresh()]);
  }

  private async act(plugin: Plugin, action: () => Promise<void>): Promise<void> {
    if (this.acting.has(plugin.id)) return;
    this.acting = new Set(this.acting).add(plugin.id);
    try {
      await action();
      await this.catchUp();
    } catch (error) {
      this.report(error);
    } finally {
      const rest = new Set(this.acting);
      rest.delete(plugin.id);
      this.acting = rest;
    }
  }

  /** Tells the reader what went wrong. */
  report(error: unknown): void {
    toasts.add('bad', t('toast.failed'), describe(error));
  }

  private dispatch(action: Action): void {
    this.state = reduce(this.state, action);
  }

  private async snapshot(): Promise<Position> {
    const snapshot = await this.ask();
    this.dispatch({ kind: 'snapshot', snapshot });
    return { epoch: snapshot.epoch, seq: snapshot.seq };
  }

  private async refreshCounts(): Promise<void> {
    if (document.visibilityState !== 'visible' || this.connection.kind !== 'live') return;
    try {
      this.dispatch({ kind: 'counts', snapshot: await this.api.plugins() });
    } catch {
      // The connection notices by itself when the server is gone; numbers of calls can wait.
    }
  }

  /** Everything the server has, or `DoNotRetry` where asking again is of no use. */
  private async ask(): ReturnType<Api['plugins']> {
    try {
      return await this.api.plugins();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) throw new DoNotRetry('sign_in', error.message);
      if (error.status === 403 || error.status === 421) throw new DoNotRetry('refused', error.message);
      throw error;
    }
  }
}

/** An error as a sentence for the reader. */
export function describe(error: unknown): string {
  if (error instanceof ApiError && error.status === 0) return t('toast.unreachable');
  if (error instanceof Error && error.message !== '') return error.message;
  return t('toast.failed');
}
