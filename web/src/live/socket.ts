/**
 * The live connection: JSON-RPC for control, CloudEvents for what happens. It keeps itself connected, resumes where
 * it was cut, and says how it stands; it knows nothing of what is shown.
 */

import { backoffMs } from './backoff';
import { asEvent, type LiveEvent, positionOf } from './events';
import type { Position } from '../api/model';

export type StopReason = 'sign_in' | 'refused';

export type ConnectionStatus =
  | { kind: 'connecting' }
  | { kind: 'live' }
  /** `retryAt` is in milliseconds since the epoch, `attempt` counts from 1. */
  | { kind: 'waiting'; retryAt: number; attempt: number }
  | { kind: 'stopped'; reason: StopReason; detail: string };

/** Trying again cannot help until somebody has done something. */
export class DoNotRetry extends Error {
  constructor(
    readonly reason: StopReason,
    detail: string,
  ) {
    super(detail);
  }
}

export interface ConnectionHooks {
  /** Fetches everything, shows it, and says at which position it was taken. Throws `DoNotRetry` where that is so. */
  snapshot(): Promise<Position>;
  /** Any request that tells why the server turned the socket away. Throws `DoNotRetry` where that is so. */
  probe(): Promise<void>;
  event(event: LiveEvent): void;
  status(status: ConnectionStatus): void;
  /** The connection came back: by replaying what was missed, or, where that was too much, by a new snapshot. */
  resumed(how: 'replayed' | 'refetched', replayed: number): void;
}

/** What a view needs of the connection that shows something besides the plugins. */
export interface LiveTopics {
  follow(topic: string): Promise<void>;
  unfollow(topic: string): void;
}

interface SubscribeResult extends Position {
  recovered: boolean;
  replayed?: number;
}

/** A JSON-RPC response, as far as it is read. */
interface Reply {
  id?: unknown;
  result?: unknown;
  error?: { message?: unknown };
}

/** How a connection ended. */
interface Ending {
  code: number;
  reason: string;
}

/** A topic that views want: how many of them, and when it is in force. */
interface Followed {
  views: number;
  inForce: Promise<void>;
}

interface Waiter {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

const REPLY_TIMEOUT_MS = 10_000;
/** Heartbeats come every 15 s; two missed ones and a bit mean that nobody is there. */
const SILENCE_LIMIT_MS = 35_000;
/** How many past events a fresh page asks for, to have something to tell. */
const HISTORY = 100;
const SUBSCRIBE_TRIES = 3;

/** Whether a server that closed with this code and reason wants the client back. */
export function wantsReconnect(code: number, reason: string): boolean {
  if (code < 4000) return true;
  return /reconnect/i.test(reason) && !/(do not|don't|no) reconnect/i.test(reason);
}

/** The position some events before `position`, in the same epoch. */
export function before(position: Position, events: number): Position {
  const seq = BigInt(position.seq) - BigInt(events);
  return { epoch: position.epoch, seq: String(seq > 0n ? seq : 0n) };
}

export class LiveConnection implements LiveTopics {
  private socket: WebSocket | null = null;
  private position: Position | null = null;
  private attempt = 0;
  private nextId = 1;
  private running = false;
  private wake: (() => void) | null = null;
  private ended: ((ending: Ending) => void) | null = null;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private readonly waiting = new Map<number, Waiter>();
  /** Topics that come and go. Nothing of them is replayed. */
  private readonly followed = new Map<string, Followed>();
  private subscribed = false;

  constructor(
    private readonly url: string,
    private readonly topics: string[],
    private readonly hooks: ConnectionHooks,
    private readonly open: (url: string) => WebSocket = (address) => new WebSocket(address),
    private readonly random: () => number = Math.random,
  ) {}

  /** Connects and stays connected until `close()` or until the server says not to come back. */
  async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    while (this.running) {
      this.hooks.status({ kind: 'connecting' });
      try {
        await this.session();
      } catch (error) {
        if (error instanceof DoNotRetry) {
          this.running = false;
          this.hooks.status({ kind: 'stopped', reason: error.reason, detail: error.message });
          return;
        }
      }
      if (this.running) await this.pause();
    }
  }

  /** Ends the wait before the next try, where there is one. */
  retryNow(): void {
    this.wake?.();
  }

  /**
   * Adds a topic, also for every later connection; each `follow` is ended by one `unfollow`.
   *
   * What happened before is not told, nor what happens while there is no connection: whoever wants to know asks when
   * this is done, and whenever the status becomes `live`. It never throws.
   */
  async follow(topic: string): Promise<void> {
    // What is always subscribed to must outlast the view that also wants it.
    if (this.topics.includes(topic)) return;
    const known = this.followed.get(topic);
    if (known === undefined) {
      const inForce = this.subscribed ? this.subscribeTo(topic) : Promise.resolve();
      this.followed.set(topic, { views: 1, inForce });
      return inForce;
    }
    known.views += 1;
    // The first view may still wait for the server's answer.
    return known.inForce;
  }

  unfollow(topic: string): void {
    const known = this.followed.get(topic);
    if (known === undefined) return;
    known.views -= 1;
    if (known.views > 0) return;
    this.followed.delete(topic);
    if (!this.subscribed) return;
    this.request('unsubscribe', { topics: [topic] }).catch(() => undefined);
  }

  /** Ends the connection for good; calling it twice is safe. */
  close(): void {
    this.running = false;
    this.socket?.close(1000);
    this.wake?.();
  }

  private async subscribeTo(topic: string): Promise<void> {
    try {
      await this.request('subscribe', { topics: [topic] });
    } catch {
      // A connection that does not answer is given up before long, and the next one begins with this topic.
    }
  }

  private async pause(): Promise<void> {
    const delay = backoffMs(this.attempt, this.random());
    this.attempt += 1;
    this.hooks.status({ kind: 'waiting', retryAt: Date.now() + delay, attempt: this.attempt });
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = null;
  }

  /** One connection from its opening to its end. */
  private async session(): Promise<void> {
    const known = this.position;
    if (known === null) this.position = await this.hooks.snapshot();
    const socket = this.open(this.url);
    this.socket = socket;
    const closed = this.listen(socket);
    try {
      if (!(await this.opened(socket, closed))) return;
      const first = this.position as Position;
      await this.subscribe(known === null ? before(first, HISTORY) : first, known !== null);
      await this.subscribeFollowed();
      this.attempt = 0;
      this.hooks.status({ kind: 'live' });
      const { code, reason } = await closed;
      if (!wantsReconnect(code, reason)) throw new DoNotRetry('refused', reason || String(code));
    } finally {
      this.subscribed = false;
      clearTimeout(this.silence);
      socket.onmessage = null;
      socket.onclose = null;
      socket.close();
      this.socket = null;
    }
  }

  private async opened(socket: WebSocket, closed: Promise<Ending>): Promise<boolean> {
    const opening = new Promise<'open'>((resolve) => {
      socket.onopen = () => resolve('open');
    });
    const outcome = await withTimeout(Promise.race([opening, closed]), REPLY_TIMEOUT_MS);
    if (outcome === 'open') {
      this.heard();
      return true;
    }
    // A browser does not tell a page why a handshake failed; an ordinary request does.
    await this.hooks.probe();
    return false;
  }

  /** Subscribes from `since`; where the server cannot replay that, fetches everything and goes on from there. */
  private async subscribe(since: Position, resuming: boolean): Promise<void> {
    let from = since;
    for (let tries = 0; tries < SUBSCRIBE_TRIES; tries += 1) {
      const result = (await this.request('subscribe', { topics: this.topics, since: from })) as SubscribeResult;
      if (result.recovered) {
        if (resuming) this.hooks.resumed(tries === 0 ? 'replayed' : 'refetched', result.replayed ?? 0);
        return;
      }
      from = await this.hooks.snapshot();
      this.position = from;
    }
    throw new Error('the server offers no position to subscribe from');
  }

  private async subscribeFollowed(): Promise<void> {
    this.subscribed = true;
    if (this.followed.size > 0) await this.request('subscribe', { topics: [...this.followed.keys()] });
  }

  private request(method: string, params: unknown): Promise<unknown> {
    const id = this.nextId++;
    const reply = new Promise<unknown>((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    this.socket?.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    return withTimeout(reply, REPLY_TIMEOUT_MS).finally(() => this.waiting.delete(id));
  }

  private listen(socket: WebSocket): Promise<Ending> {
    socket.onmessage = (message) => {
      this.heard();
      this.receive(String(message.data));
    };
    return new Promise((resolve) => {
      this.ended = ({ code, reason }) => {
        for (const waiter of this.waiting.values()) {
          waiter.reject(
            wantsReconnect(code, reason)
              ? new Error(`closed with ${code}`)
              : new DoNotRetry('refused', reason || String(code)),
          );
        }
        resolve({ code, reason });
      };
      socket.onclose = this.ended;
    });
  }

  private receive(text: string): void {
    let frame: unknown;
    try {
      frame = JSON.parse(text);
    } catch {
      // What it was is not known, and all that follows would be told from behind it: it is asked for again.
      this.ended?.({ code: 1006, reason: 'spoilt' });
      return;
    }
    if (typeof frame === 'object' && frame !== null && 'jsonrpc' in frame) this.receiveReply(frame as Reply);
    const event = asEvent(frame);
    if (event === null) return;
    this.hooks.event(event);
    // A heartbeat has the newest position of all topics, which keeps the way back short.
    this.position = positionOf(event) ?? this.position;
  }

  private receiveReply(reply: Reply): void {
    const waiter = this.waiting.get(Number(reply.id));
    if (waiter === undefined) return;
    if (reply.error === undefined) waiter.resolve(reply.result);
    else waiter.reject(new Error(String(reply.error.message)));
  }

  private heard(): void {
    clearTimeout(this.silence);
    // A dead peer never answers `close()`, so the end is not waited for.
    this.silence = setTimeout(() => this.ended?.({ code: 1006, reason: 'silence' }), SILENCE_LIMIT_MS);
  }
}

function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer in time')), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
