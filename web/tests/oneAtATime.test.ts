import { expect, it, vi } from 'vitest';
import { oneAtATime } from '../src/live/oneAtATime';

it('does once more what is asked for while it is being done, however often', async () => {
  const ends: (() => void)[] = [];
  const action = vi.fn(() => new Promise<void>((resolve) => ends.push(resolve)));
  const ask = oneAtATime(action);
  ask();
  expect(action).toHaveBeenCalledTimes(1);
  for (let times = 0; times < 50; times += 1) ask();
  expect(action).toHaveBeenCalledTimes(1);
  ends.shift()?.();
  await vi.waitFor(() => expect(action).toHaveBeenCalledTimes(2));
  ends.shift()?.();
  await vi.waitFor(() => expect(ends).toEqual([]));
  await Promise.resolve();
  ask();
  await vi.waitFor(() => expect(action).toHaveBeenCalledTimes(3));
});
