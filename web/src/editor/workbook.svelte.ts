/** The open files of one plugin, and what becomes of them: saved, changed elsewhere, gone. */

import { ApiError } from '../api/api';
import type { Plugin } from '../api/model';
import type { LiveEvent } from '../live/events';
import { oneAtATime } from '../live/oneAtATime';
import { describe } from '../shell/dashboard.svelte';
import type { Dashboard } from '../shell/dashboard.svelte';
import { Buffer, type Elsewhere } from './buffer.svelte';
import { mainFileOf, pluginErrorOf, type PluginFile, serves, SourceApi } from './sources';
import { TryOut } from './trying.svelte';

const UNKNOWN: Elsewhere = { cause: 'file', generation: null, at: null };
/** Workbooks that keep their files open while another page is shown. */
const MOST = 6;

export class Workbook {
  files = $state.raw<readonly PluginFile[]>([]);
  current = $state.raw<Buffer | null>(null);
  /** Why the file that was asked for cannot be shown. */
  problem = $state.raw<string | null>(null);
  readonly sources: SourceApi;
  readonly trying: TryOut;

  /** Made anew with every file, so that views notice. */
  private buffers = $state.raw<ReadonlyMap<string, Buffer>>(new Map());
  private elsewhere = UNKNOWN;
  private readonly lookAround = oneAtATime(async () => {
    await Promise.all([this.look(), this.list()]);
  });
  /** The newest request for a file; older answers no longer count. */
  private request = 0;

  constructor(
    private readonly dashboard: Dashboard,
    readonly plugin: Pick<Plugin, 'id' | 'type' | 'name' | 'file'>,
  ) {
    this.sources = new SourceApi(dashboard.api);
    this.trying = new TryOut(dashboard);
  }

  get dirty(): boolean {
    return [...this.buffers.values()].some((buffer) => buffer.dirty);
  }

  textOf(path: string): string | null {
    return this.buffers.get(path)?.text ?? null;
  }

  isDirty(path: string): boolean {
    return this.buffers.get(path)?.dirty === true;
  }

  /** Whether something would be lost with the page: the browser does not keep it. */
  get endangered(): boolean {
    return [...this.buffers.values()].some((buffer) => buffer.dirty && !buffer.kept);
  }

  /** Follows the plugin while the page is open. Returns what ends that. */
  follow(): () => void {
    const leave = this.dashboard.follow({
      topics: [`plugins/${this.plugin.id}`],
      event: (event) => this.receive(event),
      caughtUp: () => void this.look(),
    });
    const look = (): void => {
      if (document.visibilityState === 'visible') void this.look();
      else this.keep();
    };
    const keep = (): void => this.keep();
    document.addEventListener('visibilitychange', look);
    window.addEventListener('pagehide', keep);
    return () => {
      leave();
      document.removeEventListener('visibilitychange', look);
      window.removeEventListener('pagehide', keep);
      this.keep();
      this.trying.close();
    };
  }

  async list(): Promise<void> {
    try {
      this.files = await this.sources.files(this.plugin);
    } catch {
      if (this.files.length > 0) return;
      // The plugin's own file is known without the list.
      this.files = [{ path: mainFileOf(this.plugin), kind: 'main', size: 0, sha256: '', used_by: [] }];
    }
  }

  /** Shows a file; the plugin's own where it has none of that name. */
  async open(path: string, line: number | null = null): Promise<void> {
    const request = ++this.request;
    const known = this.buffers.get(path);
    this.problem = null;
    if (known !== undefined) {
      this.show(known, line);
      return;
    }
    try {
      const source = await this.sources.source(this.plugin, path);
      if (request !== this.request) return;
      const buffer = this.bufferOf(path);
      buffer.open(source);
      this.show(buffer, line);
    } catch (error) {
      if (request !== this.request) return;
      this.problem = describe(error);
    }
  }

  /** Begins a file that is not there yet; its first save puts it in place. */
  add(path: string, kind: PluginFile['kind']): void {
    const buffer = this.bufferOf(path);
    if (!this.files.some((file) => file.path === path)) {
      this.files = [...this.files, { path, kind, size: 0, sha256: '', used_by: [] }];
    }
    this.show(buffer, null);
  }

  async save(buffer: Buffer): Promise<void> {
    if (buffer.saving) return;
    if (buffer.theirs !== null) {
      // The choice is the reader's; the banner offers it.
      buffer.outcome = { kind: 'conflict', elsewhere: this.elsewhere };
      return;
    }
    if (!buffer.dirty) {
      buffer.outcome = { kind: 'unchanged' };
      return;
    }
    buffer.saving = true;
    const { text, toWrite } = buffer;
    const isNew = buffer.base.sha256 === '';
    buffer.keep();
    try {
      if (isNew && (await this.isThereAlready(buffer))) return;
      const { plugin, sha256 } = await this.sources.put(this.plugin, buffer.path, toWrite, buffer.base.sha256 || null);
      buffer.saved(text, sha256);
      const { generation, load_ms: loadMs } = plugin;
      buffer.outcome = { kind: 'saved', generation, loadMs, serves: serves(plugin) };
      void this.dashboard.catchUp();
      if (isNew) void this.list();
    } catch (error) {
      await this.notSaved(buffer, error);
    } finally {
      buffer.saving = false;
    }
    // What came while it was under way was put off.
    void this.look();
  }

  /** Looks whether the open files are still what they were. */
  async look(): Promise<void> {
    await Promise.all([...this.buffers.values()].map((buffer) => this.lookAt(buffer)));
  }

  keep(): void {
    for (const buffer of this.buffers.values()) buffer.keep();
  }

  private bufferOf(path: string): Buffer {
    const known = this.buffers.get(path);
    if (known !== undefined) return known;
    const buffer = new Buffer(this.plugin.id, path, (one) => void this.save(one));
    this.buffers = new Map(this.buffers).set(path, buffer);
    return buffer;
  }

  private show(buffer: Buffer, line: number | null): void {
    this.current = buffer;
    if (line !== null) buffer.jump = { line };
  }

  private receive(event: LiveEvent): void {
    if (event.type === 'plugbay.plugin.loading' || event.type === 'plugbay.plugin.unloaded') return;
    if (!event.type.startsWith('plugbay.plugin.') || !('cause' in event.data)) return;
    this.elsewhere = { cause: event.data.cause, generation: event.data.plugin.generation, at: event.time };
    this.lookAround();
  }

  private async lookAt(buffer: Buffer): Promise<void> {
    const { sha256 } = buffer.base;
    if (buffer.saving || sha256 === '') return;
    const look = ++buffer.looks;
    try {
      const source = await this.sources.look(this.plugin, buffer.path);
      // A save of this page, or a newer look, knows better.
      if (buffer.saving || look !== buffer.looks || sha256 !== buffer.base.sha256) return;
      buffer.found(source, this.elsewhere);
    } catch (error) {
      if (error instanceof ApiError && error.code === 'source_not_found') buffer.lost();
      // All else says nothing of the file; the connection notices when the server is gone.
    }
  }

  /** Whether somebody has made a file of that name meanwhile; the choice is the reader's then. */
  private async isThereAlready(buffer: Buffer): Promise<boolean> {
    try {
      buffer.found(await this.sources.source(this.plugin, buffer.path), UNKNOWN);
      return buffer.theirs !== null;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return false;
      throw error;
    }
  }

  private async notSaved(buffer: Buffer, error: unknown): Promise<void> {
    const failed = pluginErrorOf(error);
    if (failed !== null) {
      const plugin = this.dashboard.state.plugins[this.plugin.id];
      const of = error instanceof ApiError ? (error.problem.plugin ?? null) : null;
      const other = of === this.plugin.id ? null : of;
      const still = plugin !== undefined && serves(plugin);
      buffer.outcome = { kind: 'refused', error: failed, of: other, generation: plugin?.generation ?? null, serves: still };
      return;
    }
    if (!(error instanceof ApiError)) {
      buffer.outcome = { kind: 'failed', text: describe(error) };
      return;
    }
    if (error.code === 'source_changed') {
      buffer.saving = false;
      await this.lookAt(buffer);
      if (buffer.theirs === null) buffer.outcome = { kind: 'failed', text: error.message };
    } else if (error.status === 0) {
      buffer.outcome = { kind: 'unreachable' };
    } else if (error.status === 401) {
      buffer.outcome = { kind: 'sign_in' };
    } else {
      buffer.outcome = { kind: 'failed', text: error.message };
    }
  }
}

const open = new Map<string, Workbook>();

/** The text of a file as it stands in the editor; null where it was not opened. */
export function openText(id: string, path: string): string | null {
  return open.get(id)?.textOf(path) ?? null;
}

/** Whether something in the open files of a plugin is not saved. */
export function hasChanges(id: string): boolean {
  return open.get(id)?.dirty === true;
}

/** The workbook of a plugin: the one that was left, with what was not saved. */
export function workbookOf(dashboard: Dashboard, plugin: Plugin): Workbook {
  const known = open.get(plugin.id);
  open.delete(plugin.id);
  const workbook = known !== undefined && known.plugin.file === plugin.file ? known : new Workbook(dashboard, plugin);
  open.set(plugin.id, workbook);
  // What is closed here is kept as drafts.
  for (const [id, { endangered }] of [...open].slice(0, -MOST)) if (!endangered) open.delete(id);
  return workbook;
}

window.addEventListener('beforeunload', (event) => {
  for (const book of open.values()) book.keep();
  if ([...open.values()].some(({ endangered }) => endangered)) event.preventDefault();
});
