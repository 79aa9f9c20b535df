/** One call of a plugin by hand: what came, how long it took, what it wrote to its log meanwhile. */

import { ApiError, pluginPath } from '../api/api';
import type { LogLineData } from '../api/generated';
import type { LoadError, Plugin } from '../api/model';
import { isTaskEvent, type LiveEvent } from '../live/events';
import type { Dashboard } from '../shell/dashboard.svelte';
import { describe } from '../shell/dashboard.svelte';
import { hasEnded, type Task } from '../tasks/taskModel';
import { pluginErrorOf } from './sources';

export type Attempt =
  | { kind: 'none' }
  | { kind: 'running' }
  | { kind: 'results'; results: readonly unknown[]; ms: number }
  | { kind: 'error'; error: LoadError | null; text: string; ms: number }
  | { kind: 'download'; task: Task; ms: number };

const LOG_LINES = 200;

export class TryOut {
  input = $state('');
  attempt = $state.raw<Attempt>({ kind: 'none' });
  generation = $state<number | null>(null);
  log = $state.raw<readonly LogLineData[]>([]);

  private abort: AbortController | null = null;
  private leave: (() => void) | null = null;
  private leaveLog: (() => void) | null = null;
  /** When the last line before the call was written. */
  private since = '';

  constructor(private readonly dashboard: Dashboard) {}

  get running(): boolean {
    const { attempt } = this;
    return attempt.kind === 'running' || (attempt.kind === 'download' && !hasEnded(attempt.task));
  }

  /** Calls the plugin with the input, in the generation that serves. */
  async run(plugin: Plugin): Promise<void> {
    const input = this.input.trim();
    if (input === '' || this.running) return;
    const abort = new AbortController();
    this.stopFollowing();
    this.abort = abort;
    this.attempt = { kind: 'running' };
    this.generation = plugin.generation;
    this.log = [];
    await this.beginLog(plugin, abort.signal);
    if (abort.signal.aborted) return;
    const began = performance.now();
    const ms = (): number => performance.now() - began;
    try {
      if (plugin.type === 'download') await this.download(plugin, input, ms);
      else {
        const ask = plugin.type === 'search' ? this.search(plugin, input, abort.signal) : this.parse(plugin, input, abort.signal);
        const results = await ask;
        this.attempt = { kind: 'results', results, ms: ms() };
      }
    } catch (error) {
      if (abort.signal.aborted) return;
      this.attempt = { kind: 'error', error: pluginErrorOf(error), text: describe(error), ms: ms() };
    } finally {
      if (this.abort === abort && !this.running) await this.endLog(plugin);
    }
  }

  /** Gives the call up; the server ends it in the plugin. */
  async stop(): Promise<void> {
    const { attempt } = this;
    if (attempt.kind === 'download') {
      try {
        await this.dashboard.tasks.act(attempt.task.id, 'cancel');
      } catch (error) {
        this.dashboard.report(error);
      }
      return;
    }
    this.abort?.abort();
    this.stopFollowing();
    this.attempt = { kind: 'none' };
  }

  /** Nobody looks any more. A call is given up; a download goes on, and is followed to its end. */
  close(): void {
    if (this.attempt.kind === 'running') void this.stop();
  }

  private async search(plugin: Plugin, keyword: string, signal: AbortSignal): Promise<unknown[]> {
    const path = `/api/search/${encodeURIComponent(plugin.name)}?${new URLSearchParams({ keyword })}`;
    return (await this.dashboard.api.send<{ results: unknown[] }>('GET', path, undefined, signal)).results;
  }

  private async parse(plugin: Plugin, url: string, signal: AbortSignal): Promise<unknown[]> {
    const { api, tasks } = this.dashboard;
    const body = { url, plugins: [plugin.name] };
    type Parsed = { results: unknown[]; errors: { code: string; message: string }[]; task_id: string };
    const { results, errors, task_id } = await api.send<Parsed>('POST', '/api/parse', body, signal);
    const [error] = errors;
    if (error === undefined) return results;
    // The answer has only the message; the task has all that is known of it.
    const { problem } = await tasks.task(task_id);
    throw problem === null ? new ApiError({ status: 502, title: '', detail: error.message, code: error.code }) : asError(problem);
  }

  private async download(plugin: Plugin, url: string, ms: () => number): Promise<void> {
    const { tasks } = this.dashboard;
    const task = await tasks.download(url, '', plugin.name);
    this.showTask(plugin, task, ms);
    this.leave = this.dashboard.follow({
      topics: [`tasks/${task.id}`],
      event: (event) => {
        if (isTaskEvent(event)) this.showTask(plugin, event.data.task, ms);
      },
      caughtUp: () => void tasks.task(task.id).then((now) => this.showTask(plugin, now, ms), () => undefined),
    });
    // The connection may be down; the task itself tells then, at the next caughtUp().
    if (hasEnded(task)) this.leave();
  }

  private showTask(plugin: Plugin, task: Task, ms: () => number): void {
    const { attempt } = this;
    // An answer may be older than the events that came before it.
    if (attempt.kind === 'error' || (attempt.kind === 'download' && hasEnded(attempt.task))) return;
    if (task.status === 'failed') {
      const error = task.problem === null ? null : pluginErrorOf(asError(task.problem));
      this.attempt = { kind: 'error', error, text: task.error ?? '', ms: ms() };
      this.leave?.();
      void this.endLog(plugin);
      return;
    }
    this.generation = task.generation ?? this.generation;
    this.attempt = { kind: 'download', task, ms: ms() };
    if (hasEnded(task)) {
      this.leave?.();
      void this.endLog(plugin);
    }
  }

  /** Remembers where the log stands, and hears what comes. */
  private async beginLog(plugin: Plugin, signal: AbortSignal): Promise<void> {
    try {
      this.since = (await this.readLog(plugin, 1)).at(-1)?.at ?? '';
    } catch {
      this.since = '';
    }
    // Given up meanwhile, nobody would end it.
    if (signal.aborted) return;
    this.leaveLog = this.dashboard.follow({
      topics: [`logs/${plugin.id}`],
      event: (event) => this.hear(event),
      caughtUp: () => undefined,
    });
  }

  private hear(event: LiveEvent): void {
    if (event.type === 'plugbay.log') this.log = [...this.log, event.data].slice(-LOG_LINES);
  }

  /** What was written meanwhile, whole: what is heard live may have been dropped. */
  private async endLog(plugin: Plugin): Promise<void> {
    this.leaveLog?.();
    this.leaveLog = null;
    try {
      const lines = await this.readLog(plugin, LOG_LINES);
      this.log = lines.filter(({ at }) => at > this.since);
    } catch {
      // What was heard stays.
    }
  }

  private async readLog(plugin: Plugin, lines: number): Promise<LogLineData[]> {
    return (await this.dashboard.api.send<{ lines: LogLineData[] }>('GET', `${pluginPath(plugin)}/logs?lines=${lines}`)).lines;
  }

  private stopFollowing(): void {
    this.leave?.();
    this.leaveLog?.();
    this.leave = null;
    this.leaveLog = null;
  }
}

/** A task's problem is the problem object that a request would have had. */
function asError({ error, ...problem }: NonNullable<Task['problem']>): ApiError {
  return new ApiError({ ...problem, ...(error === null ? {} : { error: error as unknown as LoadError }) });
}
