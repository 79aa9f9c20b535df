/** Collects what comes one by one, and hands it on with a frame that the browser draws: the first at once, more in batches. */

/** So often anybody sees a change as it happens; what comes faster is drawn together, which leaves time for the reader. */
const GAP_MS = 60;
/** A hidden page draws no frames, and still has to follow. */
const HIDDEN_MS = 250;
/** Nothing waits longer than for so many others, whatever the browser does with its frames and timers. */
const MOST = 1_000;

export class FrameBatch<Item> {
  private waiting: Item[] = [];
  private takenAt = -GAP_MS;
  private frame = 0;
  private pause: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param take is given what has come, in order, never nothing
   */
  constructor(private readonly take: (items: readonly Item[]) => void) {}

  add(item: Item): void {
    this.waiting.push(item);
    if (this.waiting.length >= MOST) this.flush();
    else if (this.waiting.length === 1) this.schedule();
  }

  /** Hands on now what waits, before something that must come after it. */
  flush(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.pause);
    clearTimeout(this.timer);
    const items = this.waiting;
    if (items.length === 0) return;
    this.waiting = [];
    this.takenAt = performance.now();
    this.take(items);
  }

  private schedule(): void {
    const next = (): void => {
      this.frame = requestAnimationFrame(() => this.flush());
    };
    const gap = this.takenAt + GAP_MS - performance.now();
    if (gap <= 0) next();
    else this.pause = setTimeout(next, gap);
    this.timer = setTimeout(() => this.flush(), HIDDEN_MS);
  }
}
