/** The event stream of the page: its past, what comes, and a pause in which what comes waits. */

import { asEvent, type LiveEvent } from '../live/events';
import type { Dashboard } from '../shell/dashboard.svelte';
import { entryOf, joined, STREAM_LIMIT, type StreamEntry } from './stream';

/** Several events a frame are shown as one change. */
const BATCH_MS = 150;
const TOPICS = ['plugins/**', 'registry', 'config', 'token', 'tasks/*'];

export class EventStream {
  /** Newest first. */
  entries = $state.raw<readonly StreamEntry[]>([]);
  /** How many have come since it was paused. */
  waiting = $state(0);
  paused = $state(false);
  /** The past has been asked for, with whatever answer. */
  ready = $state(false);
  /** Why the past is not shown; null where it is. */
  problem = $state.raw<unknown>(null);

  private come: StreamEntry[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param heard told of every event, also while it is paused
   */
  constructor(
    private readonly dashboard: Dashboard,
    private readonly heard: (event: LiveEvent) => void = () => undefined,
  ) {}

  /** Follows the events until the function that this returns is called. */
  start(): () => void {
    const end = this.dashboard.follow({
      topics: TOPICS,
      event: (event) => {
        this.heard(event);
        this.take(event);
      },
      caughtUp: () => void this.catchUp(),
    });
    // Where there is no connection yet, the past can be had all the same.
    if (this.dashboard.connection.kind !== 'live') void this.catchUp();
    return () => {
      end();
      clearTimeout(this.timer);
      this.timer = undefined;
    };
  }

  pause(paused: boolean): void {
    this.paused = paused;
    if (!paused) this.show();
  }

  /** Asks for what has happened before, and during a cut. */
  async catchUp(): Promise<void> {
    try {
      const path = `/api/activity?limit=${STREAM_LIMIT}&topics=${encodeURIComponent(TOPICS.join(','))}`;
      const { events } = await this.dashboard.api.send<{ events: unknown[] }>('GET', path);
      const known = events.map(asEvent).filter((event) => event !== null);
      this.problem = null;
      this.add(known.map(entryOf).filter((entry) => entry !== null));
    } catch (error) {
      this.problem = error;
    } finally {
      this.ready = true;
    }
  }

  private take(event: LiveEvent): void {
    const entry = entryOf(event);
    if (entry !== null) this.add([entry]);
  }

  private add(entries: readonly StreamEntry[]): void {
    if (entries.length === 0) return;
    this.come = [...joined(this.come, entries)];
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.show();
    }, BATCH_MS);
  }

  private show(): void {
    if (this.paused && this.entries.length > 0) {
      const shown = new Set(this.entries.map((entry) => entry.id));
      this.waiting = this.come.filter((entry) => !shown.has(entry.id)).length;
      return;
    }
    this.entries = joined(this.entries, this.come);
    this.come = [];
    this.waiting = 0;
  }
}
