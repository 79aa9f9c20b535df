/** How fast downloads were a moment ago, for their small charts. */

import type { Task } from './taskModel';

const SAMPLE_MS = 1_000;
const KEPT = 60;

interface Sampled {
  /** When the newest sample was begun, in milliseconds. */
  at: number;
  /** Bytes a second, oldest first. */
  samples: readonly number[];
}

export class Speeds {
  private readonly tasks = new Map<string, Sampled>();

  /** Takes note of a task as it is told at `now`, in milliseconds; one that rests or has ended is forgotten. */
  note({ id, status, speed }: Task, now: number): void {
    if (status !== 'downloading') {
      this.tasks.delete(id);
      return;
    }
    if (speed === null) return;
    const known = this.tasks.get(id);
    if (known === undefined || now - known.at >= SAMPLE_MS) {
      this.tasks.set(id, { at: now, samples: [...(known?.samples ?? []), speed].slice(-KEPT) });
    } else {
      this.tasks.set(id, { at: known.at, samples: known.samples.with(-1, speed) });
    }
  }

  of({ id }: Task): readonly number[] {
    return this.tasks.get(id)?.samples ?? [];
  }

  clear(): void {
    this.tasks.clear();
  }
}

/** A line of fewer samples than this would be too short to tell anything. */
const SHOWN_LEAST = 16;

/** The samples as the points of a line in a box of that size, the newest at its right edge. */
export function linePoints(samples: readonly number[], width: number, height: number): string {
  const most = Math.max(...samples, 1);
  const shown = Math.max(samples.length, SHOWN_LEAST);
  const step = width / (shown - 1);
  const first = shown - samples.length;
  return samples
    .map((speed, index) => `${round((first + index) * step)},${round(height - (speed / most) * height)}`)
    .join(' ');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
