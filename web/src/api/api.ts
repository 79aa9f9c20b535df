/** The server's HTTP interface, as far as the page uses it. */

import type { Language, LoadError, Plugin, Problem, Snapshot } from './model';

/** The server answered with a problem; `status` 0 means that it did not answer at all. */
export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
  }

  get status(): number {
    return this.problem.status;
  }

  get code(): string {
    return this.problem.code;
  }

  get loadError(): LoadError | null {
    return this.problem.error ?? null;
  }
}

export interface ReloadResult {
  id: string;
  ok: boolean;
  state: string;
  generation: number;
  ms: number;
  error?: LoadError | null;
}

export interface ReloadOutcome {
  success_count: number;
  fail_count: number;
  message: string;
  results: ReloadResult[];
}

export interface DeleteOutcome {
  message: string;
  running_calls: number;
  /** What can be undone. */
  change: string | null;
}

export class Api {
  /**
   * @param language asked at every request, so that messages come in the language that is shown
   * @param signIn has the reader sign in where the server wants that; resolves to whether it was done
   */
  constructor(
    private readonly language: () => Language,
    private readonly fetcher: typeof fetch = (input, init) => fetch(input, init),
    private readonly signIn: () => Promise<boolean> = () => Promise.resolve(false),
  ) {}

  /** The connection asks this, which has its own way to say that a token is wanted. */
  plugins(signal?: AbortSignal): Promise<Snapshot> {
    return this.sendOnce('GET', '/api/plugins', undefined, signal);
  }

  toggle(plugin: Plugin, enabled: boolean): Promise<{ enabled: boolean }> {
    return this.send('POST', `${pluginPath(plugin)}/toggle?enabled=${enabled}`);
  }

  reload(plugin: Plugin): Promise<ReloadOutcome> {
    return this.send('POST', '/api/plugins/reload', { plugin_type: plugin.type, plugin_name: plugin.name });
  }

  reloadAll(): Promise<ReloadOutcome> {
    return this.send('POST', '/api/plugins/reload');
  }

  remove(plugin: Plugin, purge: boolean): Promise<DeleteOutcome> {
    return this.send('POST', '/api/plugins/delete', {
      plugin_type: plugin.type,
      plugin_name: plugin.name,
      ...(purge ? { purge } : {}),
    });
  }

  /**
   * Asks the server; where it wants a token, the reader is asked for that, and then the server once more.
   *
   * @throws ApiError
   */
  async send<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    return parsed((await this.exchange(method, path, initOf(body, signal))).text) as T;
  }

  /**
   * Asks the server, and nobody for a token.
   *
   * @throws ApiError
   */
  async sendOnce<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    return parsed((await this.exchangeOnce(method, path, initOf(body, signal))).text) as T;
  }

  /**
   * As `send`, for something that is not JSON, or whose headers count.
   *
   * @throws ApiError
   */
  async exchange(method: string, path: string, init: RequestInit = {}): Promise<{ text: string; headers: Headers }> {
    try {
      return await this.exchangeOnce(method, path, init);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401 || !(await this.signIn())) throw error;
      return this.exchangeOnce(method, path, init);
    }
  }

  /**
   * As `exchange`, and asks nobody for a token.
   *
   * @throws ApiError
   */
  async exchangeOnce(
    method: string,
    path: string,
    init: RequestInit = {},
  ): Promise<{ text: string; headers: Headers }> {
    const headers = new Headers(init.headers);
    headers.set('Accept', 'application/json, text/plain');
    headers.set('Accept-Language', this.language());
    let response: Response;
    let text: string;
    try {
      response = await this.fetcher(path, { ...init, method, headers, credentials: 'same-origin', cache: 'no-store' });
      // An answer may be cut off in its middle, too.
      text = await response.text();
    } catch (cause) {
      if (init.signal?.aborted) throw cause;
      throw new ApiError({ status: 0, code: 'unreachable', title: '', detail: '' });
    }
    if (!response.ok) throw new ApiError(problemOf(response, text));
    return { text, headers: response.headers };
  }
}

function initOf(body: unknown, signal: AbortSignal | undefined): RequestInit {
  const init: RequestInit = {};
  if (signal !== undefined) init.signal = signal;
  if (body instanceof FormData) {
    init.body = body;
  } else if (body !== undefined) {
    init.headers = { 'Content-Type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  return init;
}

/** 204 has nothing to say. */
function parsed(text: string): unknown {
  return text === '' ? undefined : JSON.parse(text);
}

export function pluginPath({ type, name }: Pick<Plugin, 'type' | 'name'>): string {
  return `/api/plugins/${encodeURIComponent(type)}/${encodeURIComponent(name)}`;
}

/** The problem in a response; something in front of the server may have answered in its place, in any format. */
function problemOf(response: Response, text: string): Problem {
  const plain: Problem = { status: response.status, code: '', title: response.statusText, detail: '' };
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null ? { ...plain, ...body, status: response.status } : plain;
  } catch {
    return plain;
  }
}
