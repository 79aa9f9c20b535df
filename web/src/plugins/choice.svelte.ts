/** Which plugins are shown and in which order, remembered by the browser: the words for the tab, the rest for good. */

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
    const kept = read(() => localStorage);
    this.state = PLUGIN_STATES.find((state) => state === kept.state) ?? null;
    this.type = PLUGIN_TYPES.find((type) => type === kept.type) ?? null;
    this.sort = SORTS.find((sort) => sort === kept.sort) ?? 'name';
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
    write(() => localStorage, { state, type, sort });
    write(() => sessionStorage, { words });
  }
}

/** A browser may forbid storage, and what is in it may be of another version. */
function read(storage: () => Storage): Record<string, unknown> {
  try {
    const kept: unknown = JSON.parse(storage().getItem(KEY) ?? '{}');
    return typeof kept === 'object' && kept !== null ? (kept as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function write(storage: () => Storage, value: object): void {
  try {
    storage().setItem(KEY, JSON.stringify(value));
  } catch {
    return;
  }
}

export const choice = new Choice();
