/** Which plugins are shown and in which order, remembered by the browser: the words for the tab, the rest for good. */

import { keep, kept } from '../ui/storage';
import { PLUGIN_STATES, PLUGIN_TYPES, type PluginState, type PluginType } from '../api/model';
import { SORTS, type Sort } from './order';

const KEY = 'plugbay.plugins';

class Choice {
  words = $state('');
  state = $state<PluginState | null>(null);
  type = $state<PluginType | null>(null);
  sort = $state<Sort>('name');

  readonly filters = $derived(this.words.trim() !== '' || this.state !== null || this.type !== null);

  constructor() {
    const chosen = read(() => localStorage);
    this.state = PLUGIN_STATES.find((state) => state === chosen.state) ?? null;
    this.type = PLUGIN_TYPES.find((type) => type === chosen.type) ?? null;
    this.sort = SORTS.find((sort) => sort === chosen.sort) ?? 'name';
    this.words = String(read(() => sessionStorage).words ?? '');
  }

  clear(): void {
    this.words = '';
    this.state = null;
    this.type = null;
  }

  /** To be called by an effect: it reads what it keeps. */
  keep(): void {
    const { words, state, type, sort } = this;
    keep(KEY, JSON.stringify({ state, type, sort }));
    keep(KEY, JSON.stringify({ words }), () => sessionStorage);
  }
}

/** What is kept may be of another version. */
function read(storage: () => Storage): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(kept(KEY, storage) ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

export const choice = new Choice();
