import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { soon } from '../src/live/soon';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

it('is done once for all that ask in its time, and goes on in a storm', () => {
  const action = vi.fn();
  const { ask } = soon(action, 200);
  for (let ms = 0; ms < 1_000; ms += 50) {
    ask();
    vi.advanceTimersByTime(50);
  }
  expect(action).toHaveBeenCalledTimes(5);
});

it('is not done once it was cancelled, until it is asked for again', () => {
  const action = vi.fn();
  const { ask, cancel } = soon(action, 200);
  ask();
  cancel();
  vi.advanceTimersByTime(200);
  expect(action).not.toHaveBeenCalled();
  ask();
  vi.advanceTimersByTime(200);
  expect(action).toHaveBeenCalledOnce();
});
