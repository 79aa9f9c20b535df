/** What the components read and call: the state, the connection and the actions, joined. */

import { connectionActivity, refusedActivity } from '../activity/activity';
import { Api, ApiError } from '../api/api';
import { FrameBatch } from '../live/batch';
import { isPlugbayEvent, type LiveEvent, type PlugbayEvent, TOPICS } from '../live/events';
import { matches } from '../live/topics';
import { formatMs } from '../ui/format';
import { errorMessage, plainError, type Plugin, type Position } from '../api/model';
import { preferences, t } from '../ui/preferences.svelte';
import { type ConnectionStatus, DoNotRetry, LiveConnection } from '../live/socket';
import { PluginsApi } from '../plugins/pluginsApi';
import { type Action, initialState, type InstallStage, reduce } from '../plugins/state';
import { noStats, stepAt, withAnswer, withOnly, withStep } from '../plugins/stats';
import { TaskApi } from '../tasks/taskApi';
import { session } from './session.svelte';
import { toasts } from '../ui/toasts.svelte';

const TICK_MS = 1_000;
/** A browser waits for ever for an answer over a connection that has fallen silent. */
const ANSWER_TIMEOUT_MS = 60_000;

/** A view that wants to hear more than of plugins while it is open. */
export interface Follower {
  topics: readonly string[];
  event(event: LiveEvent): void;
  /** The topics are in force, now and after every cut: what was before is told to nobody, and can be asked for now. */
  caughtUp(): void;
}

export class Dashboard {
  state = $state.raw(initialState);
  /** Calls and errors; they move while a view watches them. */
  stats = $state.raw(noStats);
  connection = $state.raw<ConnectionStatus>({ kind: 'connecting' });
  /** Tries that failed since the connection last stood; it does not go back and forth with every try. */
  failures = $state(0);
  /** Milliseconds since the epoch, every second. */
  now = $state(Date.now());
  /** The step of `stats` that charts end with. */
  readonly statsStep = $derived(stepAt(this.stats, this.now));
  /** Plugins with an action of this page under way. */
  acting = $state.raw<ReadonlySet<string>>(new Set());
  reloadingAll = $state(false);

  readonly api = new Api(() => preferences.language, undefined, () => session.ask());
  readonly plugins = new PluginsApi(this.api);
  readonly tasks = new TaskApi(this.api);
  /** The search that was looked at last; null where none is to be gone back to. */
  lastSearch = $state<string | null>(null);
  private readonly live: LiveConnection;
  private readonly followers = new Set<Follower>();
  private readonly arrived = new FrameBatch<LiveEvent>((events) => this.receive(events));

  constructor(socketUrl: string) {
    this.live = new LiveConnection(socketUrl, TOPICS, {
      snapshot: () => this.snapshot(),
      probe: async () => {
        await this.ask();
      },
      event: (event) => this.arrived.add(event),
      status: (status) => {
        this.arrived.flush();
        this.connection = status;
        if (status.kind === 'stopped' && status.reason === 'sign_in') void session.ask();
        if (status.kind !== 'connecting') this.failures = status.kind === 'waiting' ? status.attempt : 0;
        if (status.kind !== 'live') return;
        for (const follower of this.followers) follower.caughtUp();
      },
      resumed: (how, replayed) => {
        const kind = how === 'replayed' ? 'resumed' : 'resynced';
        this.dispatch({ kind: 'activity', activity: connectionActivity(kind, replayed, new Date()) });
      },
    });
  }

  /** Starts the connection and the clock. Returns what ends both. */
  start(): () => void {
    const clock = setInterval(() => {
      this.now = Date.now();
    }, TICK_MS);
    const wake = (): void => {
      if (document.visibilityState === 'visible') this.live.retryNow();
    };
    window.addEventListener('online', wake);
    document.addEventListener('visibilitychange', wake);
    this.connect();
    return () => {
      clearInterval(clock);
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

  /** Keeps `stats` up to date until the function that this returns is called. */
  watchStats(): () => void {
    return this.follow({
      topics: ['stats'],
      event: (event) => {
        if (event.type !== 'plugbay.stats') return;
        this.stats = withOnly(withStep(this.stats, event.data, Date.now()), this.state.plugins);
      },
      caughtUp: () => void this.refreshStats(),
    });
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
    if (this.reloadingAll) return;
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

  /** Deletes a plugin, and offers to take that back. */
  async remove(plugin: Plugin, purge: boolean): Promise<void> {
    await this.act(plugin, async () => {
      const { message, running_calls, change } = await this.api.remove(plugin, purge);
      const text = running_calls > 0 ? `${plugin.id} · ${t('toast.running', { n: running_calls })}` : plugin.id;
      // What had the focus is gone with the plugin's row, so the way back gets it.
      const undo = { label: t('toast.undo'), run: () => void this.undo(change ?? ''), focus: true };
      toasts.add('good', message, text, change ? undo : null);
    });
  }

  /** Takes back a change; what it did or why that cannot be undone any more is told. It never throws. */
  async undo(change: string): Promise<void> {
    try {
      const undone = await this.plugins.undo(change);
      const { plugin, summary } = undone.change;
      toasts.add('good', undone.message, plugin === null ? summary : `${plugin} · ${summary}`);
      await this.catchUp();
    } catch (error) {
      toasts.add('bad', t('toast.notUndone'), describe(error));
    }
  }

  /** Ends the line of an install that this page asked for: the server announces only what goes well. */
  installRefused({ id, url }: InstallStage, error: unknown): void {
    const code = error instanceof ApiError ? error.code : '';
    const reason = (error instanceof ApiError ? error.loadError : null) ?? plainError(code, describe(error));
    this.dispatch({ kind: 'activity', activity: refusedActivity(id, url, reason, new Date()) });
  }

  /** Events bring what an action changed; without a connection it is fetched. It never throws: the action went well. */
  async catchUp(): Promise<void> {
    if (this.connection.kind === 'live') return;
    try {
      await this.snapshot();
    } catch {
      // The connection tells by itself that the server is gone, or wants a token.
    }
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

  /** What has come since the last frame: views are drawn once for all of it. */
  private receive(events: readonly LiveEvent[]): void {
    const ofPlugins: PlugbayEvent[] = [];
    for (const event of events) {
      for (const follower of this.followers) {
        if (follower.topics.some((topic) => matches(topic, event.subject))) follower.event(event);
      }
      if (isPlugbayEvent(event)) ofPlugins.push(event);
    }
    if (ofPlugins.length > 0) this.dispatch({ kind: 'events', events: ofPlugins });
  }

  private async snapshot(): Promise<Position> {
    const snapshot = await this.ask();
    // What came before it must not be applied to it.
    this.arrived.flush();
    this.dispatch({ kind: 'snapshot', snapshot });
    return { epoch: snapshot.epoch, seq: snapshot.seq };
  }

  private async refreshStats(): Promise<void> {
    try {
      this.stats = withOnly(withAnswer(await this.plugins.stats(), Date.now()), this.state.plugins);
    } catch {
      // Charts are worth no alarm: the connection tells by itself when the server is gone.
    }
  }

  /** Everything the server has, or `DoNotRetry` where asking again is of no use. */
  private async ask(): ReturnType<Api['plugins']> {
    try {
      return await this.api.plugins(AbortSignal.timeout(ANSWER_TIMEOUT_MS));
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
