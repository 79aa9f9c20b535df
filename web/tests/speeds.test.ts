import { describe, expect, it } from 'vitest';
import { linePoints, Speeds } from '../src/tasks/speeds';
import { task } from './sample';

describe('the speeds of a download', () => {
  it('are one a second, the newest within it', () => {
    const speeds = new Speeds();
    for (const [speed, now] of [[1, 0], [2, 400], [3, 999], [4, 1000], [5, 2500]] as const) {
      speeds.note(task({ status: 'downloading', speed }), now);
    }
    expect(speeds.of(task())).toEqual([3, 4, 5]);
  });

  it('are bounded, and gone when it rests', () => {
    const speeds = new Speeds();
    for (let second = 0; second < 100; second += 1) {
      speeds.note(task({ status: 'downloading', speed: second }), second * 1000);
    }
    expect(speeds.of(task())).toHaveLength(60);
    expect(speeds.of(task()).at(-1)).toBe(99);
    speeds.note(task({ status: 'paused', speed: 1 }), 100_000);
    expect(speeds.of(task())).toEqual([]);
  });

  it('are a line that ends at the right and reaches the top', () => {
    expect(linePoints([0, 50, 100], 15, 10)).toBe('13,10 14,5 15,0');
    expect(linePoints([0, 0], 15, 10)).toBe('14,10 15,10');
    expect(linePoints(Array.from({ length: 60 }, () => 1), 59, 10)).toMatch(/^0,0 1,0 .* 59,0$/);
  });
});
