/** What happened, as facts for one line of the activity feed; the words are the dictionary's. */

import { changeError, type PlugbayEvent, pluginIdOf } from '../live/events';
import type { LoadError } from '../api/model';

export type Tone = 'good' | 'bad' | 'warn' | 'calm';

export type ActivityKind =
  | 'loaded'
  | 'reloaded'
  | 'failed'
  | 'degraded'
  | 'unloaded'
  | 'enabled'
  | 'disabled'
  | 'configured'
  | 'crashed'
  | 'installing'
  | 'refused'
  | 'drained'
  | 'forced'
  | 'registry'
  | 'imported'
  | 'rotated'
  | 'resumed'
  | 'resynced';

export interface Activity {
  id: string;
  /** ISO 8601. */
  at: string;
  kind: ActivityKind;
  tone: Tone;
  /** `search/demo`, or null for what concerns no single plugin. */
  plugin: string | null;
  params: Record<string, string | number>;
  cause: string | null;
  /** Milliseconds from the save to the swap, where that was measured. */
  total: number | null;
  /** Milliseconds by step, likewise. */
  timings: { key: 'detect' | 'load'; ms: number }[];
  error: LoadError | null;
  /** Names under which an install may have been announced: its line ends with the line that has one in common. */
  installs: readonly string[];
}

/** A drain that takes less is the ordinary end of every reload and no news. */
const NOTABLE_DRAIN_MS = 250;

/** The line that an event is worth, or null. */
export function activityOf(event: PlugbayEvent): Activity | null {
  const facts = factsOf(event);
  if (facts === null) return null;
  const base: Activity = {
    id: event.id,
    at: event.time,
    kind: facts.kind,
    tone: facts.tone,
    plugin: pluginIdOf(event),
    params: facts.params ?? {},
    cause: null,
    total: null,
    timings: [],
    error: changeError(event),
    installs: installsOf(event),
  };
  if (!('cause' in event.data)) return base;
  const { cause, timings } = event.data;
  if (timings === undefined) return { ...base, cause };
  return {
    ...base,
    cause,
    total: timings.total_ms,
    // At start, and where a request is the cause, there is nothing to detect.
    timings: [
      { key: 'detect' as const, ms: timings.detect_ms },
      { key: 'load' as const, ms: timings.load_ms },
    ].filter(({ ms }) => ms > 0),
  };
}

interface Facts {
  kind: ActivityKind;
  tone: Tone;
  params?: Record<string, string | number>;
}

function factsOf(event: PlugbayEvent): Facts | null {
  switch (event.type) {
    case 'plugbay.plugin.loading':
    case 'plugbay.heartbeat':
      return null;
    case 'plugbay.plugin.loaded':
      return { kind: 'loaded', tone: 'good', params: { generation: event.data.plugin.generation } };
    case 'plugbay.plugin.reloaded':
      return { kind: 'reloaded', tone: 'good', params: { generation: event.data.plugin.generation } };
    case 'plugbay.plugin.failed':
      return event.data.plugin.state === 'degraded'
        ? { kind: 'degraded', tone: 'warn', params: { generation: event.data.plugin.generation } }
        : { kind: 'failed', tone: 'bad' };
    case 'plugbay.plugin.unloaded':
      return { kind: 'unloaded', tone: 'calm' };
    case 'plugbay.plugin.enabled':
      return { kind: 'enabled', tone: 'good' };
    case 'plugbay.plugin.disabled':
      return { kind: 'disabled', tone: 'calm' };
    case 'plugbay.plugin.configured':
      return { kind: 'configured', tone: 'good', params: { generation: event.data.plugin.generation } };
    case 'plugbay.plugin.crashed':
      return { kind: 'crashed', tone: 'bad' };
    case 'plugbay.plugin.installing':
      if (event.data.stage === 'failed') return { kind: 'refused', tone: 'bad' };
      return { kind: 'installing', tone: 'calm', params: { stage: event.data.stage } };
    case 'plugbay.generation.drained': {
      const { generation, drain_ms, forced } = event.data;
      if (forced) return { kind: 'forced', tone: 'warn', params: { generation, ms: drain_ms } };
      return drain_ms < NOTABLE_DRAIN_MS ? null : { kind: 'drained', tone: 'calm', params: { generation, ms: drain_ms } };
    }
    case 'plugbay.registry.reloaded': {
      const { success_count, fail_count } = event.data;
      return {
        kind: 'registry',
        tone: fail_count > 0 ? 'warn' : 'good',
        params: { success: success_count, fail: fail_count },
      };
    }
    case 'plugbay.config.imported':
      return { kind: 'imported', tone: 'good', params: { count: event.data.reloaded_count } };
    case 'plugbay.token.rotated':
      return { kind: 'rotated', tone: 'warn' };
    default:
      return event satisfies never;
  }
}

/** An install is announced by the address and the name of the file, before the plugin has said its own. */
function installsOf(event: PlugbayEvent): string[] {
  switch (event.type) {
    case 'plugbay.plugin.installing':
      return namesOf(pluginIdOf(event) ?? '', event.data.url);
    case 'plugbay.plugin.loaded':
    case 'plugbay.plugin.reloaded':
    case 'plugbay.plugin.failed': {
      const { id, file, origin } = event.data.plugin;
      const fileId = file.replace(/^plugins\//, '').replace(/_plugin\.py$/, '');
      return [...namesOf(id, origin.url ?? null), fileId];
    }
    default:
      return [];
  }
}

function namesOf(id: string, url: string | null): string[] {
  return url === null ? [id] : [id, url];
}

/** A line of the page's own: an install that it asked for was refused. */
export function refusedActivity(id: string, url: string | null, error: LoadError, at: Date): Activity {
  return {
    id: `refused-${at.getTime()}`,
    at: at.toISOString(),
    kind: 'refused',
    tone: 'bad',
    plugin: id,
    params: {},
    cause: null,
    total: null,
    timings: [],
    error,
    installs: namesOf(id, url),
  };
}

/** A line of the page's own: how the connection came back. */
export function connectionActivity(kind: 'resumed' | 'resynced', replayed: number, at: Date): Activity {
  return {
    id: `connection-${at.getTime()}`,
    at: at.toISOString(),
    kind,
    tone: 'calm',
    plugin: null,
    params: { count: replayed },
    cause: null,
    total: null,
    timings: [],
    error: null,
    installs: [],
  };
}
