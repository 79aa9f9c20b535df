/** One plugin that came from an address: what that has now, and taking it over. */

import { ApiError } from '../api/api';
import { isPluginType, type LoadError, type PluginType } from '../api/model';
import { describe } from '../shell/dashboard.svelte';
import type { Outdated, Plan, PluginsApi } from './pluginsApi';

/** What the server refuses until it is told to do it all the same. */
const MAY_BE_FORCED = new Set(['locally_modified', 'origin_changed']);

export class Update {
  readonly id: string;
  readonly type: PluginType;
  readonly name: string;
  state = $state<Outdated['state']>('current');
  version = $state('');
  latest = $state<string | null>(null);
  /** What the check, or the last try, came to. */
  problem = $state('');
  error = $state.raw<LoadError | null>(null);
  plan = $state.raw<Plan | null>(null);
  busy = $state(false);
  done = $state(false);
  mayForce = $state(false);

  constructor(
    { id, version, latest_version, state, problem }: Outdated,
    private readonly api: PluginsApi,
  ) {
    const [type = '', ...name] = id.split('/');
    this.id = id;
    this.type = isPluginType(type) ? type : 'search';
    this.name = name.join('/');
    this.state = state;
    this.version = version;
    this.latest = latest_version;
    this.problem = problem ?? '';
    this.mayForce = state === 'modified';
  }

  /** Asks what it would change; asking again folds that away. */
  async look(): Promise<void> {
    if (this.plan !== null) {
      this.plan = null;
      return;
    }
    await this.tried(async () => {
      const found = await this.api.planUpdate(this);
      if (found.status === 'plan') this.plan = found;
      else this.ended(found.plugin.version);
    });
  }

  /**
   * @param force also where it was edited here, or comes from another host than before
   */
  async run(force: boolean): Promise<void> {
    await this.tried(async () => {
      const { status, plugin } = await this.api.update(this, force);
      this.done = status === 'success';
      this.ended(plugin.version);
    });
  }

  private ended(version: string): void {
    this.version = version;
    this.state = 'current';
    this.plan = null;
    this.mayForce = false;
  }

  private async tried(action: () => Promise<void>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.problem = '';
    this.error = null;
    try {
      await action();
    } catch (error) {
      if (error instanceof ApiError) {
        this.error = error.loadError;
        this.mayForce = MAY_BE_FORCED.has(error.code);
      }
      this.problem = describe(error);
    } finally {
      this.busy = false;
    }
  }
}
