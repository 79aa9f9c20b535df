/** Every event that the page knows, as one union; `type` tells them apart. */

import { EVENT_TYPES, type EventOf, type EventType, type PlugbayEvent as AnyEvent } from '../api/generated';
import type { LoadError, Position } from '../api/model';

/** Whatever the connection brings. */
export type LiveEvent = AnyEvent;
export type TaskEvent = Extract<LiveEvent, { type: `plugbay.task.${string}` }>;
/** What tells of plugins and of all of them: the events that are always followed. */
export type PlugbayEvent = Exclude<LiveEvent, TaskEvent | EventOf<'plugbay.log' | 'plugbay.stats'>>;

/** What the page always subscribes to; all else only while a view shows some. */
export const TOPICS = ['plugins/**', 'registry', 'config', 'token'];

const KNOWN_TYPES: ReadonlySet<string> = new Set<EventType>(EVENT_TYPES);

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

export function isPlugbayEvent(event: LiveEvent): event is PlugbayEvent {
  return !isTaskEvent(event) && event.type !== 'plugbay.log' && event.type !== 'plugbay.stats';
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
