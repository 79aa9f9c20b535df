/**
 * The turns of pictures to be loaded. A browser asks a server for few things at once, and a slow site must not keep the
 * page's own requests waiting behind its pictures.
 */

const AT_ONCE = 3;

export class Turns {
  private readonly waiting = new Set<() => void>();
  private taken = 0;

  constructor(private readonly most = AT_ONCE) {}

  /**
   * Calls `begin` when it is its turn, perhaps at once.
   *
   * @returns what has to be called when it is done or no longer wanted; twice is safe
   */
  take(begin: () => void): () => void {
    let state: 'waiting' | 'begun' | 'over' = 'waiting';
    const start = (): void => {
      state = 'begun';
      this.taken += 1;
      begin();
    };
    if (this.taken < this.most) start();
    else this.waiting.add(start);
    return () => {
      if (state === 'begun') this.taken -= 1;
      state = 'over';
      this.waiting.delete(start);
      this.next();
    };
  }

  private next(): void {
    for (const start of this.waiting) {
      if (this.taken >= this.most) return;
      this.waiting.delete(start);
      start();
    }
  }
}

export const pictureTurns = new Turns();
