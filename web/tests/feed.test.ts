import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LogFeed } from '../src/activity/logs.svelte';
import { EventStream } from '../src/activity/stream.svelte';
import type { LiveEvent } from '../src/live/events';
import type { Dashboard, Follower } from '../src/shell/dashboard.svelte';
import { changed, event, plugin } from './sample';

/** A dashboard that knows no past. */
function dashboard() {
  const followers: Follower[] = [];
  const made = {
    connection: { kind: 'live' },
    api: { send: () => Promise.resolve({ events: [], lines: [] }) },
    follow: (one: Follower) => {
      followers.push(one);
      return () => undefined;
    },
  } as unknown as Dashboard;
  const tell = (one: LiveEvent): void => {
    for (const follower of followers) follower.event(one);
  };
  return { made, tell };
}

const drawn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(1_000);
const line = (second: number): LiveEvent =>
  event('plugbay.log', 'logs/search/demo', {
    at: `2026-11-28T10:00:0${second}`,
    level: 'info',
    generation: 1,
    message: 'told',
  });

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('what comes while a feed is held', () => {
  it('waits among the lines of a log, and is shown after them', async () => {
    const { made, tell } = dashboard();
    const feed = new LogFeed(made, 'search/demo');
    feed.start();
    tell(line(1));
    await drawn();
    feed.hold(true);
    tell(line(2));
    tell(line(3));
    await drawn();
    expect([feed.items.length, feed.waiting]).toEqual([1, 2]);
    feed.hold(false);
    expect(feed.items.map(({ at }) => at.at(-1))).toEqual(['1', '2', '3']);
    expect(feed.waiting).toBe(0);
  });

  it('waits in the event stream, each event once, and is heard all the same', async () => {
    const { made, tell } = dashboard();
    const heard = vi.fn();
    const stream = new EventStream(made, heard);
    stream.start();
    tell(changed('loaded', plugin()));
    await drawn();
    stream.hold(true);
    const next = changed('reloaded', plugin({ generation: 2 }));
    tell(next);
    tell(next);
    await drawn();
    expect([stream.items.length, stream.waiting]).toEqual([1, 1]);
    expect(heard).toHaveBeenCalledTimes(3);
    stream.hold(false);
    expect(stream.items).toHaveLength(2);
  });

  it('is shown at once where nothing was shown yet', async () => {
    const { made, tell } = dashboard();
    const feed = new LogFeed(made, 'search/demo');
    feed.start();
    feed.hold(true);
    tell(line(1));
    await drawn();
    expect([feed.items.length, feed.waiting]).toEqual([1, 0]);
  });
});
