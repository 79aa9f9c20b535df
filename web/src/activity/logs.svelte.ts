/** The lines of one plugin's log, or of all: what was written before, and what is being written. */

import type { LiveEvent } from '../live/events';
import type { Dashboard } from '../shell/dashboard.svelte';
import { joinedLines, LINE_LIMIT, type LogLine } from './logLines';

const BATCH_MS = 100;
const PAST_LINES = 500;
/** Of all plugins at once: only so many are asked, those that were loaded last, and for so many lines each. */
const MOST_ASKED = 20;
const PAST_LINES_EACH = 50;

type ToldLine = Omit<LogLine, 'plugin'>;

export class LogFeed {
  /** Oldest first. */
  lines = $state.raw<readonly LogLine[]>([]);
  /** Lines that have come since it was held. */
  waiting = $state(0);
  held = $state(false);
  ready = $state(false);
  problem = $state.raw<unknown>(null);

  private come: readonly LogLine[] = [];
  /** When the newest of the lines that the reader cleared away was written. */
  private cleared = '';
  private timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param plugin `search/demo`, or null for all
   */
  constructor(
    private readonly dashboard: Dashboard,
    private readonly plugin: string | null,
  ) {}

  /** Follows the lines until the function that this returns is called. */
  start(): () => void {
    const end = this.dashboard.follow({
      topics: [this.plugin === null ? 'logs/**' : `logs/${this.plugin}`],
      event: (event) => this.take(event),
      caughtUp: () => void this.catchUp(),
    });
    if (this.dashboard.connection.kind !== 'live') void this.catchUp();
    return () => {
      end();
      clearTimeout(this.timer);
      this.timer = undefined;
    };
  }

  /** Held, what comes waits and what is shown stands still. */
  hold(held: boolean): void {
    if (held === this.held) return;
    this.held = held;
    if (!held) this.show();
  }

  /** Forgets what is shown; the server forgets nothing. */
  clear(): void {
    this.cleared = [...this.lines, ...this.come].reduce((newest, { at }) => (at > newest ? at : newest), this.cleared);
    this.lines = [];
    this.come = [];
    this.waiting = 0;
  }

  async catchUp(): Promise<void> {
    try {
      const asked = this.plugin === null ? this.lately() : [this.plugin];
      const lines = this.plugin === null ? PAST_LINES_EACH : PAST_LINES;
      const answers = await Promise.allSettled(asked.map((plugin) => this.pastOf(plugin, lines)));
      // One of many may have gone meanwhile; that is no reason to show nothing of the others.
      const failed = answers.find((answer) => answer.status === 'rejected');
      const past = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
      this.problem = past.length === 0 && failed !== undefined ? failed.reason : null;
      this.add(past.flat().filter(({ at }) => at > this.cleared));
    } catch (error) {
      this.problem = error;
    } finally {
      this.ready = true;
    }
  }

  private lately(): string[] {
    return Object.values(this.dashboard.state.plugins)
      .filter(({ generation }) => generation > 0)
      .sort((one, other) => ((one.loaded_at ?? '') < (other.loaded_at ?? '') ? 1 : -1))
      .slice(0, MOST_ASKED)
      .map(({ id }) => id);
  }

  private async pastOf(plugin: string, lines: number): Promise<LogLine[]> {
    const path = plugin.split('/').map(encodeURIComponent).join('/');
    const told = await this.dashboard.api.send<{ lines: ToldLine[] }>('GET', `/api/plugins/${path}/logs?lines=${lines}`);
    return told.lines.map((line) => ({ ...line, plugin }));
  }

  private take(event: LiveEvent): void {
    if (event.type !== 'plugbay.log') return;
    this.add([{ ...event.data, plugin: event.subject.slice('logs/'.length) }]);
  }

  private add(lines: readonly LogLine[]): void {
    if (lines.length === 0) return;
    this.come = [...this.come, ...lines].slice(-LINE_LIMIT);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.show();
    }, BATCH_MS);
  }

  private show(): void {
    if (this.held && this.lines.length > 0) {
      const newest = this.lines.at(-1)?.at ?? '';
      this.waiting = this.come.filter(({ at }) => at > newest).length;
      return;
    }
    this.lines = joinedLines(this.lines, this.come);
    this.come = [];
    this.waiting = 0;
  }
}
