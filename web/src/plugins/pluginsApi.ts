/** Installing, updating and undoing, as the server offers them. */

import { type Api, pluginPath } from '../api/api';
import type { Stats } from '../api/generated';
import type { LoadError, Plugin, PluginType } from '../api/model';
import type { Part } from '../permissions/permissions';

export type InstallSource = { kind: 'url'; url: string } | { kind: 'file'; file: File };

/** How to install; what is left out is not wished. */
export interface Wishes {
  replace?: boolean;
  /** Keep a plugin that does not load, to be mended. */
  keep?: boolean;
  /** Grant the permissions that the plan told of. */
  grant?: boolean;
}

export interface InstallOutcome {
  plugin_name: string;
  hot_loaded: boolean;
  message: string;
  plugin: Plugin;
}

export interface PlannedPackage {
  name: string;
  version: string;
  /** Bytes, where it is known. */
  size?: number | null;
}

/** What an install or an update would do; nothing was changed. */
export interface Plan {
  status: 'plan';
  plugin: { type: PluginType; name: string | null; version: string | null; file: string | null } | null;
  dependencies: { add: PlannedPackage[]; satisfied: PlannedPackage[] };
  conflicts: { id: string; file: string }[];
  replaces: string | null;
  permissions: { asked: Record<string, unknown> };
  error: LoadError | null;
  origin_changes?: { recorded: string; offered: string } | null;
  provides?: { description?: string; methods?: string[]; load_ms?: number } | null;
  /** Why an update would be refused. */
  refused?: { code: string; message: string } | null;
}

/** A plugin beside what its origin has now. */
export interface Outdated {
  id: string;
  version: string;
  latest_version: string | null;
  url: string | null;
  state: 'outdated' | 'current' | 'modified' | 'unreachable';
  sha256: string | null;
  problem: string | null;
}

export interface UpdateOutcome {
  status: 'success' | 'current';
  message: string;
  plugin: Plugin;
}

export interface Undone {
  message: string;
  /** The plugin as it is now; null where it was about none, or that is gone. */
  plugin: Plugin | null;
  change: { id: string; plugin: string | null; summary: string };
}

export class PluginsApi {
  constructor(private readonly api: Api) {}

  /** What an install would do. A plugin that depends on nothing is loaded for that, in a process that is thrown away. */
  plan(source: InstallSource, type: PluginType): Promise<Plan> {
    return this.api.send('POST', '/api/plugins/install', bodyOf(source, type, { dry_run: true }));
  }

  install(source: InstallSource, type: PluginType, wishes: Wishes): Promise<InstallOutcome> {
    return this.api.send('POST', '/api/plugins/install', bodyOf(source, type, { ...wishes }));
  }

  async outdated(signal?: AbortSignal): Promise<Outdated[]> {
    return (await this.api.send<{ plugins: Outdated[] }>('GET', '/api/plugins/outdated', undefined, signal)).plugins;
  }

  /** What an update would do, or that there is nothing to do. */
  planUpdate(plugin: Named): Promise<Plan | UpdateOutcome> {
    return this.api.send('POST', `${pluginPath(plugin)}/update`, { dry_run: true });
  }

  /**
   * @param force also where the plugin was edited here, or comes from another host than before
   */
  update(plugin: Named, force: boolean): Promise<UpdateOutcome> {
    return this.api.send('POST', `${pluginPath(plugin)}/update`, force ? { replace: true, accept_origin: true } : {});
  }

  /** Grants all that a plugin asks for (`true`), or these parts and no others. */
  grant(plugin: Named, wish: boolean | Part): Promise<{ error: LoadError | null; change: string | null }> {
    return this.api.send('POST', `${pluginPath(plugin)}/grant`, { grant: wish });
  }

  undo(change: string): Promise<Undone> {
    return this.api.send('POST', `/api/changes/${encodeURIComponent(change)}/undo`);
  }

  stats(): Promise<Stats> {
    return this.api.send('GET', '/api/stats');
  }
}

type Named = Pick<Plugin, 'type' | 'name'>;

function bodyOf(source: InstallSource, type: PluginType, flags: Record<string, boolean>): object {
  const wished = Object.entries(flags).filter(([, wish]) => wish);
  if (source.kind === 'url') return { url: source.url, plugin_type: type, ...Object.fromEntries(wished) };
  const form = new FormData();
  form.set('plugin_type', type);
  for (const [name] of wished) form.set(name, 'true');
  form.set('file', source.file, source.file.name);
  return form;
}
