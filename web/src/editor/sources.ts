/** The routes of a plugin's files and revisions, as far as the page uses them. */

import { type Api, ApiError, pluginPath } from '../api/api';
import type { LoadError, Origin, Plugin, PluginType } from '../api/model';

export type FileKind = 'main' | 'package' | 'requirements' | 'helper';

/** A file that a plugin is made of. `path` is relative to home, `size` in bytes. */
export interface PluginFile {
  path: string;
  kind: FileKind;
  size: number;
  sha256: string;
  /** Of a helper: every plugin that imports it. */
  used_by: string[];
}

/** A text as the server has it, with the hash that tells whether it is still the same. */
export interface Source {
  text: string;
  sha256: string;
}

export interface Revision {
  revision: string;
  version: string;
  at: string;
  origin: Origin;
  current: boolean;
}

export interface Change {
  id: string;
  at: string;
  kind: string;
  plugin: string | null;
  summary: string;
  undoable: boolean;
  undone_by: string | null;
}

export interface Installed {
  plugin_name: string;
  hot_loaded: boolean;
  plugin: Plugin;
}

/** What names a plugin. */
export type Identity = Pick<Plugin, 'type' | 'name'>;

export class SourceApi {
  constructor(private readonly api: Api) {}

  async files(of: Identity): Promise<PluginFile[]> {
    return (await this.api.sendOnce<{ files: PluginFile[] }>('GET', `${pluginPath(of)}/files`)).files;
  }

  async source(of: Identity, file: string): Promise<Source> {
    const { text, headers } = await this.api.exchange('GET', sourcePath(of, file));
    return { text, sha256: tagOf(headers) };
  }

  /** As `source`, where nobody waits for it: the reader is not asked for a token. */
  async look(of: Identity, file: string): Promise<Source> {
    const { text, headers } = await this.api.exchangeOnce('GET', sourcePath(of, file));
    return { text, sha256: tagOf(headers) };
  }

  /**
   * Writes a file, if the plugin loads with it.
   *
   * @param expected the hash that the file has to have now; null where it is not there yet, or may have any
   * @returns the plugin as it serves with it, and the new hash
   * @throws ApiError `source_changed` where it has another, `plugin_invalid` where it does not load
   */
  async put(of: Identity, file: string, text: string, expected: string | null): Promise<{ plugin: Plugin; sha256: string }> {
    const headers: Record<string, string> = { 'Content-Type': 'text/plain; charset=utf-8' };
    if (expected !== null) headers['If-Match'] = `"${expected}"`;
    const answer = await this.api.exchange('PUT', sourcePath(of, file), { body: text, headers });
    return { plugin: JSON.parse(answer.text) as Plugin, sha256: tagOf(answer.headers) };
  }

  async revisions(of: Identity): Promise<Revision[]> {
    return (await this.api.sendOnce<{ revisions: Revision[] }>('GET', `${pluginPath(of)}/revisions`)).revisions;
  }

  /** The texts of a revision by their paths. */
  async revision(of: Identity, revision: string): Promise<Record<string, string>> {
    const path = `${pluginPath(of)}/revisions/${encodeURIComponent(revision)}`;
    const { files } = await this.api.send<{ files: { path: string; text: string }[] }>('GET', path);
    return Object.fromEntries(files.map((file) => [file.path, file.text]));
  }

  /** `change` is what undoes it; null where it was that revision already. */
  rollback(of: Identity, revision: string): Promise<Plugin & { change: string | null }> {
    return this.api.send('POST', `${pluginPath(of)}/rollback`, { revision });
  }

  /** What was done to a plugin, newest first. */
  async changes({ type, name }: Identity, limit = 20): Promise<Change[]> {
    const query = new URLSearchParams({ plugin: `${type}/${name}`, limit: String(limit) });
    return (await this.api.sendOnce<{ changes: Change[] }>('GET', `/api/changes?${query}`)).changes;
  }

  /** Its newest change, where that can be taken back; null where there is none. */
  async newestChange(of: Identity): Promise<Change | null> {
    const [newest] = await this.changes(of, 1);
    return newest !== undefined && newest.undoable && newest.undone_by === null ? newest : null;
  }

  /** What a new plugin begins with. Nothing is written. */
  template(type: PluginType, name: string): Promise<{ file: string; text: string }> {
    const query = new URLSearchParams({ plugin_type: type, name });
    return this.api.send('GET', `/api/plugins/template?${query}`);
  }

  /** Puts a text in place as a plugin, also where it does not load yet: it can be mended then. */
  install(type: PluginType, file: string, text: string): Promise<Installed> {
    const form = new FormData();
    form.set('plugin_type', type);
    form.set('keep', 'true');
    form.set('file', new File([text], file.split('/').at(-1) ?? file, { type: 'text/x-python' }));
    return this.api.send('POST', '/api/plugins/install', form);
  }
}

/** The file that holds the plugin's class; of a package `file` is its folder. */
export function mainFileOf({ file }: Pick<Plugin, 'file'>): string {
  return file.endsWith('.py') ? file : `${file}/__init__.py`;
}

/** Whether calls are answered: by the newest file, or by the generation before it. */
export function serves({ state }: Pick<Plugin, 'state'>): boolean {
  return state === 'active' || state === 'degraded';
}

function sourcePath(of: Identity, file: string): string {
  return `${pluginPath(of)}/source?${new URLSearchParams({ path: file })}`;
}

function tagOf(headers: Headers): string {
  return (headers.get('ETag') ?? '').replace(/^W\//, '').replaceAll('"', '');
}

/** The error of a plugin in an answer that was refused: one of loading, or what a call raised. */
export function pluginErrorOf(error: unknown): LoadError | null {
  if (!(error instanceof ApiError) || error.loadError === null) return null;
  const nothing = { stage: '', code: error.code, line: null, column: null, file: null, traceback: null, generation: null };
  return { ...nothing, ...error.loadError };
}
