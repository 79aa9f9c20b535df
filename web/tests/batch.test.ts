import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FrameBatch } from '../src/live/batch';

/** Frames are drawn only where `visible`, as in a browser. */
let visible = true;
let frames: (() => void)[] = [];

function draw(): void {
  const due = frames;
  frames = [];
  for (const frame of due) frame();
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  visible = true;
  frames = [];
  vi.stubGlobal('requestAnimationFrame', (frame: () => void) => (visible ? frames.push(frame) : 1));
  vi.stubGlobal('cancelAnimationFrame', () => (frames = []));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function setup() {
  const taken: number[][] = [];
  return { taken, batch: new FrameBatch<number>((items) => taken.push([...items])) };
}

describe('what comes one by one', () => {
  it('is taken with the next frame, in order', () => {
    const { taken, batch } = setup();
    batch.add(1);
    batch.add(2);
    expect(taken).toEqual([]);
    draw();
    vi.advanceTimersByTime(1000);
    expect(taken).toEqual([[1, 2]]);
  });

  it('is taken together where it comes faster than anybody can see', () => {
    const { taken, batch } = setup();
    batch.add(1);
    draw();
    batch.add(2);
    draw();
    vi.advanceTimersByTime(30);
    batch.add(3);
    draw();
    expect(taken).toEqual([[1]]);
    vi.advanceTimersByTime(30);
    draw();
    expect(taken).toEqual([[1], [2, 3]]);
    vi.advanceTimersByTime(60);
    batch.add(4);
    draw();
    expect(taken.at(-1)).toEqual([4]);
  });

  it('is taken without frames, too, if less often', () => {
    visible = false;
    const { taken, batch } = setup();
    batch.add(1);
    vi.advanceTimersByTime(1000);
    expect(taken).toEqual([[1]]);
  });

  it('never waits in great numbers', () => {
    const { taken, batch } = setup();
    for (let number = 0; number < 2500; number += 1) batch.add(number);
    expect(taken.map((items) => items.length)).toEqual([1000, 1000]);
  });

  it('can be taken at once, and then not again', () => {
    const { taken, batch } = setup();
    batch.add(1);
    batch.flush();
    batch.flush();
    draw();
    vi.advanceTimersByTime(1000);
    expect(taken).toEqual([[1]]);
  });
});
