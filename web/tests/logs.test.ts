import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LogFeed } from '../src/activity/logs.svelte';
import type { Dashboard, Follower } from '../src/shell/dashboard.svelte';
import { plugin } from './sample';

const line = (at: string) => ({ at, level: 'info', generation: 1, message: `at ${at}` });

/** A dashboard whose plugins have one line each; of those that are gone the server knows nothing. */
function feed(gone: readonly string[] = []) {
  const ids = ['search/one', 'search/two'];
  let follower: Follower | undefined;
  const dashboard = {
    connection: { kind: 'live' },
    state: { plugins: Object.fromEntries(ids.map((id) => [id, plugin({ id, generation: 1 })])) },
    api: {
      send: (_: string, path: string) => {
        const asked = ids.findIndex((id) => path.includes(id));
        if (gone.includes(ids[asked] ?? '')) return Promise.reject(new Error('gone'));
        return Promise.resolve({ lines: [line(`2026-11-28T10:00:0${asked}`)] });
      },
    },
    follow: (one: Follower) => {
      follower = one;
      return () => undefined;
    },
  } as unknown as Dashboard;
  const made = new LogFeed(dashboard, null);
  made.start();
  const again = async (): Promise<void> => {
    follower?.caughtUp();
    await vi.advanceTimersByTimeAsync(1_000);
  };
  return { made, again };
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('the lines of all plugins', () => {
  it('are shown without those of one that has gone', async () => {
    const { made, again } = feed(['search/one']);
    await again();
    expect(made.problem).toBeNull();
    expect(made.items.map((one) => one.plugin)).toEqual(['search/two']);
  });

  it('are a problem where nothing can be had', async () => {
    const { made, again } = feed(['search/one', 'search/two']);
    await again();
    expect(made.problem).toBeInstanceOf(Error);
    expect(made.items).toEqual([]);
  });

  it('stay away after a cut once they were cleared', async () => {
    const { made, again } = feed();
    await again();
    expect(made.items).toHaveLength(2);
    made.clear();
    await again();
    expect(made.items).toEqual([]);
  });
});
