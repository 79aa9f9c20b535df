import { describe, expect, it, vi } from 'vitest';
import { Api, ApiError } from '../src/api/api';
import { PluginsApi } from '../src/plugins/pluginsApi';
import { plugin } from './sample';

function setup(answer: Response | Error) {
  const fetcher = vi.fn<typeof fetch>(async () => {
    if (answer instanceof Error) throw answer;
    return answer;
  });
  const sent = (): [string, RequestInit] => fetcher.mock.calls[0] as [string, RequestInit];
  const api = new Api(() => 'en', fetcher);
  return { api, plugins: new PluginsApi(api), sent };
}

const json = (body: object, status = 200): Response => new Response(JSON.stringify(body), { status });

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
}

describe('requests', () => {
  it('name plugins safely and ask in the language of the reader', async () => {
    const test = setup(json({ enabled: false }));
    await test.api.toggle(plugin({ name: '../a?b#c/查' }), false);
    const [path, init] = test.sent();
    expect(path).toBe('/api/plugins/search/..%2Fa%3Fb%23c%2F%E6%9F%A5/toggle?enabled=false');
    expect(new Headers(init.headers).get('Accept-Language')).toBe('en');
  });

  it('upload a file as a form', async () => {
    const test = setup(json({}));
    await test.plugins.install({ kind: 'file', file: new File(['x'], 'a_plugin.py') }, 'parser', { replace: true, keep: false });
    const form = test.sent()[1].body as FormData;
    expect(form.get('plugin_type')).toBe('parser');
    expect(form.get('replace')).toBe('true');
    expect(form.has('keep')).toBe(false);
    expect((form.get('file') as File).name).toBe('a_plugin.py');
  });

  it('install an address without what is not asked for', async () => {
    const test = setup(json({}));
    await test.plugins.install({ kind: 'url', url: 'https://x/a_plugin.py' }, 'search', {});
    expect(JSON.parse(String(test.sent()[1].body))).toEqual({ url: 'https://x/a_plugin.py', plugin_type: 'search' });
  });
});

describe('answers', () => {
  it('that are problems are errors with all that they hold', async () => {
    const body = { status: 422, code: 'plugin_invalid', title: 't', detail: 'd', error: { line: 3 } };
    const error = await failure(setup(json(body, 422)).api.plugins());
    expect(error).toMatchObject({ status: 422, code: 'plugin_invalid', message: 'd', loadError: { line: 3 } });
  });

  it('of something in between that is no JSON keep their status', async () => {
    const error = await failure(setup(new Response('<h1>Bad gateway</h1>', { status: 502 })).api.plugins());
    expect(error.status).toBe(502);
  });

  it('that never come have status 0', async () => {
    const error = await failure(setup(new TypeError('failed to fetch')).api.plugins());
    expect(error).toMatchObject({ status: 0, code: 'unreachable' });
  });
});

describe('an answer that is cut off', () => {
  it('is as good as none', async () => {
    const body = new ReadableStream({ start: (control) => control.error(new TypeError('network error')) });
    const error = await failure(setup(new Response(body)).api.plugins());
    expect(error).toMatchObject({ status: 0, code: 'unreachable' });
  });
});

describe('a request that the server wants a token for', () => {
  const signedIn = (answers: number[], signIn: () => Promise<boolean>) => {
    const fetcher = vi.fn<typeof fetch>(async () => {
      const status = answers.shift() ?? 200;
      return status === 204 ? new Response(null, { status }) : json({ code: 'token_required', detail: 'd' }, status);
    });
    return { fetcher, api: new Api(() => 'en', fetcher, signIn) };
  };

  it('waits for the reader to sign in, and is sent once more', async () => {
    const { api, fetcher } = signedIn([401, 204], () => Promise.resolve(true));
    expect(await api.send('PUT', '/api/x', { typed: 'text' })).toBeUndefined();
    expect(fetcher).toHaveBeenCalledTimes(2);
    expect(fetcher.mock.calls[1]?.[1]?.body).toBe('{"typed":"text"}');
  });

  it('fails where the reader declines, and where nobody is to be asked', async () => {
    const signIn = vi.fn(() => Promise.resolve(false));
    const { api } = signedIn([401, 401, 401], signIn);
    expect((await failure(api.send('GET', '/api/x'))).status).toBe(401);
    expect(signIn).toHaveBeenCalledTimes(1);
    await failure(api.sendOnce('GET', '/api/x'));
    await failure(api.plugins());
    expect(signIn).toHaveBeenCalledTimes(1);
  });
});
