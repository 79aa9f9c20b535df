/** The lines of one plugin's log, or of all: what was written before, and what is being written. */

import type { LiveEvent } from '../live/events';
import type { Dashboard } from '../shell/dashboard.svelte';
import { Feed } from './feed.svelte';
import { joinedLines, LINE_LIMIT, type LogLine } from './logLines';

const PAST_LINES = 500;
/** Of all plugins at once: only so many are asked, those that were loaded last, and for so many lines each. */
const MOST_ASKED = 20;
const PAST_LINES_EACH = 50;

type ToldLine = Omit<LogLine, 'plugin'>;

/** Oldest first. */
export class LogFeed extends Feed<LogLine> {
  /** When the newest of the lines that the reader cleared away was written. */
  private cleared = '';

  /**
   * @param plugin `search/demo`, or null for all
   */
  constructor(
    dashboard: Dashboard,
    private readonly plugin: string | null,
  ) {
    super(dashboard, [plugin === null ? 'logs/**' : `logs/${plugin}`]);
  }

  /** Forgets what is shown; the server forgets nothing. */
  clear(): void {
    this.cleared = [...this.items, ...this.come].reduce((newest, { at }) => (at > newest ? at : newest), this.cleared);
    this.items = [];
    this.come = [];
    this.waiting = 0;
  }

  protected receive(event: LiveEvent): void {
    if (event.type !== 'plugbay.log') return;
    this.add([{ ...event.data, plugin: event.subject.slice('logs/'.length) }]);
  }

  protected async past(): Promise<readonly LogLine[]> {
    const asked = this.plugin === null ? this.lately() : [this.plugin];
    const lines = this.plugin === null ? PAST_LINES_EACH : PAST_LINES;
    const answers = await Promise.allSettled(asked.map((plugin) => this.pastOf(plugin, lines)));
    // One of many may have gone meanwhile; that is no reason to show nothing of the others.
    const failed = answers.find((answer) => answer.status === 'rejected');
    const past = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    if (past.length === 0 && failed !== undefined) throw failed.reason;
    return past.flat().filter(({ at }) => at > this.cleared);
  }

  protected joined = joinedLines;

  /** Lines come too fast to be put in order one by one. */
  protected override collected(come: readonly LogLine[], more: readonly LogLine[]): readonly LogLine[] {
    return [...come, ...more].slice(-LINE_LIMIT);
  }

  protected countNew(shown: readonly LogLine[], come: readonly LogLine[]): number {
    const newest = shown.at(-1)?.at ?? '';
    return come.filter(({ at }) => at > newest).length;
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
}
