/** The times of the last reloads, kept up to date. */

import type { Load } from '../api/generated';
import type { Dashboard } from '../shell/dashboard.svelte';
import { joinedLoads } from './reloads';

export class Reloads {
  /** Oldest first. */
  list = $state.raw<readonly Load[]>([]);
  ready = $state(false);
  problem = $state.raw<unknown>(null);

  constructor(private readonly dashboard: Dashboard) {}

  /** Asks for what was before, now and after every cut, until the function that this returns is called. */
  start(): () => void {
    return this.dashboard.follow({ topics: [], event: () => undefined, caughtUp: () => void this.catchUp() });
  }

  add(loads: readonly Load[]): void {
    this.list = joinedLoads(this.list, loads);
  }

  private async catchUp(): Promise<void> {
    try {
      const { reloads } = await this.dashboard.api.send<{ reloads: Load[] }>('GET', '/api/stats');
      this.add(reloads);
      this.problem = null;
    } catch (error) {
      this.problem = error;
    } finally {
      this.ready = true;
    }
  }
}
