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
   */
  constructor(
    private readonly language: () => Language,
    private readonly fetcher: typeof fetch = (input, init) => fetch(input, init),
  ) {}

  plugins(signal?: AbortSignal): Promise<Snapshot> {
    return this.send('GET', '/api/plugins', undefined, signal);
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
   * Asks the server.
   *
   * @throws ApiError
   */
  async send<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const headers = new Headers({ Accept: 'application/json', 'Accept-Language': this.language() });
    const init: RequestInit = { method, headers, credentials: 'same-origin', cache: 'no-store' };
    if (signal !== undefined) init.signal = signal;
    if (body instanceof FormData) {
      init.body = body;
    } else if (body !== undefined) {
      headers.set('Content-Type', 'application/json');
      init.body = JSON.stringify(body);
    }
    let response: Response;
    try {
      response = await this.fetcher(path, init);
    } catch (cause) {
      if (signal?.aborted) throw cause;
      throw new ApiError({ status: 0, code: 'unreachable', title: '', detail: '' });
    }
    const text = await response.text();
    if (!response.ok) throw new ApiError(problemOf(response, text));
    return JSON.parse(text) as T;
  }
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
