import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LiveEvent } from '../src/live/events';
import type { Position } from '../src/api/model';
import { before, type ConnectionStatus, DoNotRetry, LiveConnection, wantsReconnect } from '../src/live/socket';
import { changed, event, plugin } from './sample';

/** The server's end of a socket, in the test's hands. */
class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((ending: { code: number; reason: string }) => void) | null = null;
  readonly sent: { id: number; method: string; params: { since: Position } }[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  async accept(): Promise<void> {
    this.onopen?.();
    await settle();
  }

  async reply(result: object): Promise<void> {
    const id = this.sent.at(-1)?.id;
    this.onmessage?.({ data: JSON.stringify({ jsonrpc: '2.0', id, result }) });
    await settle();
  }

  /** The newest request that asks for it. */
  last(method: string): { params: { topics: string[]; since?: Position } } | undefined {
    return this.sent.findLast((one) => one.method === method) as never;
  }

  async recover(): Promise<void> {
    await this.reply({ epoch: 'e1', seq: '1', recovered: true, replayed: 3 });
  }

  say(frame: LiveEvent): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  async end(code: number, reason = ''): Promise<void> {
    this.onclose?.({ code, reason });
    await settle();
  }
}

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

function setup(hooks: { snapshot?: () => Promise<Position>; probe?: () => Promise<void> } = {}) {
  const sockets: FakeSocket[] = [];
  const statuses: ConnectionStatus[] = [];
  const events: LiveEvent[] = [];
  const resumed: [string, number][] = [];
  const snapshot = vi.fn(hooks.snapshot ?? (async () => ({ epoch: 'e1', seq: '500' })));
  const probe = vi.fn(hooks.probe ?? (async () => undefined));
  const connection = new LiveConnection(
    'ws://x/api/ws',
    ['plugins/**'],
    {
      snapshot,
      probe,
      event: (one) => events.push(one),
      status: (status) => statuses.push(status),
      resumed: (how, replayed) => resumed.push([how, replayed]),
    },
    () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket as unknown as WebSocket;
    },
    () => 1,
  );
  const socket = (): FakeSocket => sockets.at(-1) as FakeSocket;
  const status = (): string | undefined => statuses.at(-1)?.kind;
  return { connection, sockets, socket, statuses, status, events, resumed, snapshot, probe };
}

async function connected(test: ReturnType<typeof setup>): Promise<void> {
  void test.connection.run();
  await settle();
  await test.socket().accept();
  await test.socket().recover();
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('the live connection', () => {
  it('begins with a snapshot and asks for some history before it', async () => {
    const test = setup();
    void test.connection.run();
    await settle();
    expect(test.snapshot).toHaveBeenCalledOnce();
    await test.socket().accept();
    expect(test.socket().sent[0]).toMatchObject({
      method: 'subscribe',
      params: { topics: ['plugins/**'], since: { epoch: 'e1', seq: '400' } },
    });
    expect(test.status()).toBe('connecting');
    await test.socket().recover();
    expect(test.status()).toBe('live');
    expect(test.resumed).toEqual([]);
  });

  it('resumes where it was cut', async () => {
    const test = setup();
    await connected(test);
    test.socket().say(changed('reloaded', plugin(), { seq: '501' }));
    expect(test.events).toHaveLength(1);
    await test.socket().end(1006);
    expect(test.statuses.at(-1)).toMatchObject({ kind: 'waiting', attempt: 1 });
    await vi.advanceTimersByTimeAsync(300);
    await test.socket().accept();
    expect(test.sockets).toHaveLength(2);
    expect(test.socket().sent[0]?.params.since).toEqual({ epoch: 'e1', seq: '501' });
    await test.socket().recover();
    expect(test.resumed).toEqual([['replayed', 3]]);
    expect(test.snapshot).toHaveBeenCalledOnce();
  });

  it('asks again for what came damaged', async () => {
    const test = setup();
    await connected(test);
    test.socket().say(changed('reloaded', plugin(), { seq: '501' }));
    test.socket().onmessage?.({ data: '{"type": "plugbay.plugin.relo' });
    await settle();
    // What follows on this connection would be told from behind the event that is missing.
    expect(test.socket().onmessage).toBeNull();
    expect(test.socket().closed).toBe(true);
    await vi.advanceTimersByTimeAsync(300);
    await test.socket().accept();
    expect(test.socket().sent[0]?.params.since).toEqual({ epoch: 'e1', seq: '501' });
  });

  it('resumes from the position of the last heartbeat', async () => {
    const test = setup();
    await connected(test);
    test.socket().say(event('plugbay.heartbeat', 'heartbeat', {}, { seq: '777' }));
    await test.socket().end(1012);
    await vi.advanceTimersByTimeAsync(300);
    await test.socket().accept();
    expect(test.socket().sent[0]?.params.since.seq).toBe('777');
  });

  it('fetches everything where the server cannot replay, and subscribes from there', async () => {
    const test = setup();
    await connected(test);
    await test.socket().end(1006);
    await vi.advanceTimersByTimeAsync(300);
    await test.socket().accept();
    test.snapshot.mockResolvedValue({ epoch: 'e2', seq: '4' });
    await test.socket().reply({ epoch: 'e2', seq: '6', recovered: false });
    expect(test.snapshot).toHaveBeenCalledTimes(2);
    expect(test.socket().sent[1]?.params.since).toEqual({ epoch: 'e2', seq: '4' });
    await test.socket().reply({ epoch: 'e2', seq: '6', recovered: true, replayed: 2 });
    expect(test.resumed).toEqual([['refetched', 2]]);
    expect(test.status()).toBe('live');
  });

  it('waits longer after every failure, and starts over after a success', async () => {
    const test = setup();
    void test.connection.run();
    await settle();
    for (const delay of [300, 600, 1200]) {
      await test.socket().end(1006);
      expect(test.statuses.at(-1)).toMatchObject({ kind: 'waiting', retryAt: Date.now() + delay });
      await vi.advanceTimersByTimeAsync(delay);
    }
    await test.socket().accept();
    await test.socket().recover();
    await test.socket().end(1006);
    expect(test.statuses.at(-1)).toMatchObject({ attempt: 1, retryAt: Date.now() + 300 });
  });

  it('can be told not to wait', async () => {
    const test = setup();
    void test.connection.run();
    await settle();
    await test.socket().end(1006);
    test.connection.retryNow();
    await settle();
    expect(test.sockets).toHaveLength(2);
  });

  it('gives up on a server that has gone silent, without waiting for its goodbye', async () => {
    const test = setup();
    await connected(test);
    await vi.advanceTimersByTimeAsync(30_000);
    test.socket().say(event('plugbay.heartbeat', 'heartbeat', {}, { seq: '600' }));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(test.status()).toBe('live');
    await vi.advanceTimersByTimeAsync(6_000);
    expect(test.sockets[0]?.closed).toBe(true);
    expect(test.sockets).toHaveLength(2);
  });

  it('gives up on a server that does not answer', async () => {
    const test = setup();
    void test.connection.run();
    await settle();
    await test.socket().accept();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(test.status()).toBe('waiting');
  });

  it('keeps trying while the server is gone', async () => {
    const test = setup({ snapshot: async () => Promise.reject(new Error('gone')) });
    void test.connection.run();
    await settle();
    expect(test.status()).toBe('waiting');
    expect(test.sockets).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(test.snapshot.mock.calls.length).toBeGreaterThan(2);
  });

  it.each([['sign_in'], ['refused']] as const)('stops when a request says %s', async (reason) => {
    const test = setup({ snapshot: async () => Promise.reject(new DoNotRetry(reason, 'why')) });
    void test.connection.run();
    await settle();
    expect(test.statuses.at(-1)).toEqual({ kind: 'stopped', reason, detail: 'why' });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(test.snapshot).toHaveBeenCalledOnce();
  });

  it('asks why when a handshake fails, and stops if that says so', async () => {
    const test = setup({ probe: async () => Promise.reject(new DoNotRetry('sign_in', 'token')) });
    void test.connection.run();
    await settle();
    await test.socket().end(1006);
    expect(test.statuses.at(-1)).toMatchObject({ kind: 'stopped', reason: 'sign_in' });
  });

  it('stops for a close that says not to come back, and can be started again', async () => {
    const test = setup();
    await connected(test);
    await test.socket().end(4003, 'forbidden');
    expect(test.statuses.at(-1)).toEqual({ kind: 'stopped', reason: 'refused', detail: 'forbidden' });
    void test.connection.run();
    await settle();
    expect(test.sockets).toHaveLength(2);
  });

  it('survives frames that are no JSON or no event', async () => {
    const test = setup();
    await connected(test);
    test.socket().onmessage?.({ data: 'not json' });
    test.socket().onmessage?.({ data: '"text"' });
    test.socket().onmessage?.({ data: '{"jsonrpc":"2.0","id":99,"result":{}}' });
    test.socket().onmessage?.({ data: '{"type":"plugbay.plugin.teleported","id":"x","subject":"y","data":{}}' });
    expect(test.events).toEqual([]);
    expect(test.status()).toBe('live');
  });

  it('ends for good when closed', async () => {
    const test = setup();
    await connected(test);
    test.connection.close();
    await test.socket().end(1000);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(test.sockets).toHaveLength(1);
  });
});

describe('close codes', () => {
  it.each([
    [1001, '', true],
    [1006, '', true],
    [4008, 'slow consumer; reconnect', true],
    [4001, 'token changed; do not reconnect', false],
    [4003, 'forbidden', false],
  ])('%d %j wants the client back: %s', (code, reason, expected) => {
    expect(wantsReconnect(code, reason)).toBe(expected);
  });
});

describe('history', () => {
  it('never goes below the beginning', () => {
    expect(before({ epoch: 'e', seq: '30' }, 100)).toEqual({ epoch: 'e', seq: '0' });
  });
});

describe('a topic that comes and goes', () => {
  it('is followed without its past and given up', async () => {
    const test = setup();
    await connected(test);
    let told = false;
    void test.connection.follow('tasks/*').then(() => (told = true));
    await settle();
    expect(test.socket().last('subscribe')?.params).toEqual({ topics: ['tasks/*'] });
    expect(told).toBe(false);
    await test.socket().recover();
    expect(told).toBe(true);
    test.connection.unfollow('tasks/*');
    expect(test.socket().last('unsubscribe')?.params).toEqual({ topics: ['tasks/*'] });
  });

  it('is in force for a second view no sooner than for the first', async () => {
    const test = setup();
    await connected(test);
    const told: string[] = [];
    void test.connection.follow('tasks/*').then(() => told.push('first'));
    void test.connection.follow('tasks/*').then(() => told.push('second'));
    await settle();
    expect(told).toEqual([]);
    await test.socket().recover();
    expect(told).toEqual(['first', 'second']);
    test.connection.unfollow('tasks/*');
    expect(test.socket().last('unsubscribe')).toBeUndefined();
  });

  it('is in force before the connection is live, at first and after a cut', async () => {
    const test = setup();
    await test.connection.follow('tasks/*');
    await test.connection.follow('tasks/gone');
    test.connection.unfollow('tasks/gone');
    await connected(test);
    for (const _ of ['at first', 'after a cut']) {
      expect(test.socket().last('subscribe')?.params).toEqual({ topics: ['tasks/*'] });
      expect(test.status()).toBe('connecting');
      await test.socket().recover();
      expect(test.status()).toBe('live');
      await test.socket().end(1006);
      await vi.advanceTimersByTimeAsync(300);
      await test.socket().accept();
      await test.socket().recover();
    }
  });

  it('fails no view when it cannot be subscribed to', async () => {
    const test = setup();
    await connected(test);
    const following = test.connection.follow('tasks/*');
    await test.socket().end(1006);
    await expect(following).resolves.toBeUndefined();
  });
});
