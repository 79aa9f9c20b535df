/** Every event that the page knows, as one union; `type` tells them apart. */

import type { LoadError, Plugin, Position } from '../api/model';
import { TASK_EVENT_TYPES, type TaskEvent } from '../tasks/taskEvents';

export type Cause = 'startup' | 'file' | 'api' | 'config' | 'rollback' | 'crash';

/** Milliseconds: from the save to its notice, of the load, and of all. */
export interface Timings {
  detect_ms: number;
  load_ms: number;
  total_ms: number;
}

export interface PluginChange {
  plugin: Plugin;
  cause: Cause;
  timings?: Timings;
}

/** What CloudEvents puts around the data. Passing events (heartbeats apart) have no `seq`. */
export interface Envelope<Type extends string, Data> {
  type: Type;
  id: string;
  subject: string;
  time: string;
  epoch?: string;
  seq?: string;
  data: Data;
}

export type PluginChangeType =
  | 'plugbay.plugin.loading'
  | 'plugbay.plugin.loaded'
  | 'plugbay.plugin.reloaded'
  | 'plugbay.plugin.failed'
  | 'plugbay.plugin.unloaded'
  | 'plugbay.plugin.enabled'
  | 'plugbay.plugin.disabled'
  | 'plugbay.plugin.configured'
  | 'plugbay.plugin.crashed';

export type PluginChangeEvent = { [Type in PluginChangeType]: Envelope<Type, PluginChange> }[PluginChangeType];
/** How far an install is; stage `failed` ends one that left nothing, with the reason where the server tells it. */
export type InstallingEvent = Envelope<
  'plugbay.plugin.installing',
  { stage: string; url: string | null; error?: LoadError | null }
>;
export type DrainedEvent = Envelope<
  'plugbay.generation.drained',
  { generation: number; drain_ms: number; forced: boolean }
>;
export type RegistryReloadedEvent = Envelope<
  'plugbay.registry.reloaded',
  { success_count: number; fail_count: number }
>;
export type ConfigImportedEvent = Envelope<'plugbay.config.imported', { reloaded_count: number }>;
export type LogEvent = Envelope<
  'plugbay.log',
  { at: string; level: string; generation: number; message: string }
>;
export type HeartbeatEvent = Envelope<'plugbay.heartbeat', Record<string, never>>;

export type PlugbayEvent =
  | PluginChangeEvent
  | InstallingEvent
  | DrainedEvent
  | RegistryReloadedEvent
  | ConfigImportedEvent
  | HeartbeatEvent;

/** Whatever the connection brings. */
export type LiveEvent = PlugbayEvent | TaskEvent | LogEvent;

/** What the page always subscribes to; tasks only while a view shows some. */
export const TOPICS = ['plugins/**', 'registry', 'config'];

const KNOWN_TYPES: ReadonlySet<string> = new Set<LiveEvent['type']>([
  ...TASK_EVENT_TYPES,
  'plugbay.plugin.loading',
  'plugbay.plugin.loaded',
  'plugbay.plugin.reloaded',
  'plugbay.plugin.failed',
  'plugbay.plugin.unloaded',
  'plugbay.plugin.enabled',
  'plugbay.plugin.disabled',
  'plugbay.plugin.configured',
  'plugbay.plugin.crashed',
  'plugbay.plugin.installing',
  'plugbay.generation.drained',
  'plugbay.registry.reloaded',
  'plugbay.config.imported',
  'plugbay.heartbeat',
  'plugbay.log',
]);

/** The event in a decoded frame, or null for anything else, such as an event type of a newer server. */
export function asEvent(frame: unknown): LiveEvent | null {
  if (typeof frame !== 'object' || frame === null) return null;
  const { type, id, subject, data } = frame as Record<string, unknown>;
  if (typeof type !== 'string' || typeof id !== 'string' || typeof subject !== 'string') return null;
  if (!KNOWN_TYPES.has(type) || typeof data !== 'object' || data === null) return null;
  return frame as LiveEvent;
}

export function isTaskEvent(event: LiveEvent): event is TaskEvent {
  return event.type.startsWith('plugbay.task.');
}

/** Where the event stands in the log, or null for a passing one. */
export function positionOf(event: LiveEvent): Position | null {
  return event.epoch !== undefined && event.seq !== undefined ? { epoch: event.epoch, seq: event.seq } : null;
}

/** `search/demo` of `plugins/search/demo`. */
export function pluginIdOf(event: PlugbayEvent): string | null {
  return event.subject.startsWith('plugins/') ? event.subject.slice('plugins/'.length) : null;
}

export function changeError(event: PlugbayEvent): LoadError | null {
  if (event.type === 'plugbay.plugin.installing') return event.data.error ?? null;
  return event.type === 'plugbay.plugin.failed' ? event.data.plugin.error : null;
}
