/** The server's routes for configuration. */

import { type Api, pluginPath } from '../api/api';
import type { LoadError, Plugin } from '../api/model';

export type Config = Record<string, unknown>;

/** What became of a configuration that was stored; `error` is why the plugin does not load with it. */
export interface Stored {
  config: Config;
  warnings: string[];
  plugin: Plugin;
  error: LoadError | null;
  /** What can be undone; null where nothing differed. */
  change: string | null;
}

/** What an import would change of one plugin. Passwords read as asterisks, also where they differ. */
export interface PlannedChange {
  id: string;
  /** Whether the plugin is there; what is imported for others is kept for later. */
  present: boolean;
  enabled: { from: boolean; to: boolean } | null;
  fields: { field: string; from: unknown; to: unknown }[];
  errors: { field: string; message: string }[];
}

export interface ImportPlan {
  reloaded_count: number;
  changes: PlannedChange[];
}

export interface Imported {
  reloaded_count: number;
  message: string;
  change: string | null;
}

export class ConfigApi {
  constructor(private readonly api: Api) {}

  async read(plugin: Pick<Plugin, 'type' | 'name'>): Promise<Config> {
    return (await this.api.send<{ config: Config }>('GET', `${pluginPath(plugin)}/config`)).config;
  }

  write(plugin: Pick<Plugin, 'type' | 'name'>, config: unknown): Promise<Stored> {
    return this.api.send('PUT', `${pluginPath(plugin)}/config`, config);
  }

  exportAll(): Promise<{ config: Config; timestamp: string }> {
    return this.api.send('GET', '/api/config/export');
  }

  planImport(config: Config): Promise<ImportPlan> {
    return this.api.send('POST', '/api/config/import', { config, dry_run: true });
  }

  importAll(config: Config): Promise<Imported> {
    return this.api.send('POST', '/api/config/import', { config });
  }
}
