/** What some topics bring, and what was before: shown in batches, and held back while the reader looks at what is there. */

import type { LiveEvent } from '../live/events';
import { soon } from '../live/soon';
import type { Dashboard } from '../shell/dashboard.svelte';

const BATCH_MS = 100;

export abstract class Feed<Item> {
  items = $state.raw<readonly Item[]>([]);
  /** How many have come since it was held. */
  waiting = $state(0);
  held = $state(false);
  /** The past has been asked for, with whatever answer. */
  ready = $state(false);
  /** Why the past is not shown; null where it is. */
  problem = $state.raw<unknown>(null);

  protected come: readonly Item[] = [];
  private readonly drawn = soon(() => this.show(), BATCH_MS);

  constructor(
    protected readonly dashboard: Dashboard,
    private readonly topics: readonly string[],
  ) {}

  /** Follows the topics until the function that this returns is called. */
  start(): () => void {
    const end = this.dashboard.follow({
      topics: this.topics,
      event: (event) => this.receive(event),
      caughtUp: () => void this.catchUp(),
    });
    // Where there is no connection yet, the past can be had all the same.
    if (this.dashboard.connection.kind !== 'live') void this.catchUp();
    return () => {
      end();
      this.drawn.cancel();
    };
  }

  /** Held, what comes waits and what is shown stands still. */
  hold(held: boolean): void {
    if (held === this.held) return;
    this.held = held;
    if (!held) this.show();
  }

  /** Asks for what has happened before, and during a cut. */
  async catchUp(): Promise<void> {
    try {
      const past = await this.past();
      this.problem = null;
      this.add(past);
    } catch (error) {
      this.problem = error;
    } finally {
      this.ready = true;
    }
  }

  /** Takes what there is to show of an event, by `add`. */
  protected abstract receive(event: LiveEvent): void;

  protected abstract past(): Promise<readonly Item[]>;

  /** Both in order, each once, so many as are kept. */
  protected abstract joined(known: readonly Item[], come: readonly Item[]): readonly Item[];

  /** How many are not among those shown, which are some. */
  protected abstract countNew(shown: readonly Item[], come: readonly Item[]): number;

  /** What waits, with more that has come; it must not grow without bound. */
  protected collected(come: readonly Item[], more: readonly Item[]): readonly Item[] {
    return this.joined(come, more);
  }

  protected add(items: readonly Item[]): void {
    if (items.length === 0) return;
    this.come = this.collected(this.come, items);
    this.drawn.ask();
  }

  private show(): void {
    if (this.held && this.items.length > 0) {
      this.waiting = this.countNew(this.items, this.come);
      return;
    }
    this.items = this.joined(this.items, this.come);
    this.come = [];
    this.waiting = 0;
  }
}
