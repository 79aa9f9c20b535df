/** Collects what comes one by one, and hands it on once for each frame that the browser draws. */

/** A hidden page draws no frames, and still has to follow. */
const HIDDEN_MS = 250;
/** Nothing waits longer than for so many others, whatever the browser does with its frames and timers. */
const MOST = 1_000;

export class FrameBatch<Item> {
  private waiting: Item[] = [];
  private frame = 0;
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
    clearTimeout(this.timer);
    const items = this.waiting;
    if (items.length === 0) return;
    this.waiting = [];
    this.take(items);
  }

  private schedule(): void {
    this.frame = requestAnimationFrame(() => this.flush());
    this.timer = setTimeout(() => this.flush(), HIDDEN_MS);
  }
}
