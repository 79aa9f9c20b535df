/** The event stream as lines: what each event says, which filters let it through, and how old and new are joined. */

import { isPlugbayEvent, isTaskEvent, type LiveEvent, type PlugbayEvent, pluginIdOf, type TaskEvent } from '../live/events';
import { TYPES } from '../tasks/remedies';
import { type Activity, activityOf, type Tone } from './activity';

/** How many events the page keeps. */
export const STREAM_LIMIT = 500;

export const AREAS = ['plugins', 'tasks', 'server'] as const;
export type Area = (typeof AREAS)[number];

export const OUTCOMES = ['good', 'bad'] as const;
export type Outcome = (typeof OUTCOMES)[number];

export const TASK_KINDS = ['created', 'queued', 'started', 'paused', 'results', 'completed', 'handed_over', 'failed', 'cancelled'] as const;
export type TaskLineKind = (typeof TASK_KINDS)[number];

/** What a line says: of a plugin or the server, in the words of the feed; of a task; or that a load begins. */
export type Saying =
  | { of: 'plugin'; activity: Activity }
  | { of: 'loading' }
  | { of: 'task'; kind: TaskLineKind; task: 'search' | 'parse' | 'download'; title: string; count: number; reason: string };

export interface StreamEntry {
  id: string;
  /** ISO 8601. */
  at: string;
  area: Area;
  tone: Tone;
  /** `search/demo`, or null where it concerns no single plugin. */
  plugin: string | null;
  saying: Saying;
  event: LiveEvent;
}

export interface StreamFilter {
  area: Area | null;
  outcome: Outcome | null;
  plugin: string | null;
  words: string;
}

/** The line of an event; null for a heartbeat and for progress, which has its place on the page of downloads. */
export function entryOf(event: LiveEvent): StreamEntry | null {
  const base = { id: event.id, at: event.time, event };
  if (isTaskEvent(event)) {
    const saying = taskSaying(event);
    if (saying === null) return null;
    const { plugin_name, kind } = event.data.task;
    const plugin = plugin_name === null ? null : `${TYPES[kind]}/${plugin_name}`;
    return { ...base, area: 'tasks', tone: TASK_TONES[saying.kind], plugin, saying };
  }
  if (!isPlugbayEvent(event)) return null;
  const plugin = pluginIdOf(event);
  const activity = activityOf(event) ?? quietActivity(event);
  if (activity !== null) {
    return { ...base, area: plugin === null ? 'server' : 'plugins', tone: activity.tone, plugin, saying: { of: 'plugin', activity } };
  }
  if (event.type !== 'plugbay.plugin.loading') return null;
  return { ...base, area: 'plugins', tone: 'calm', plugin, saying: { of: 'loading' } };
}

/** The end of a drain that is no news for the feed, but an event all the same. */
function quietActivity(event: PlugbayEvent): Activity | null {
  if (event.type !== 'plugbay.generation.drained') return null;
  const { generation, drain_ms } = event.data;
  return {
    id: event.id,
    at: event.time,
    kind: 'drained',
    tone: 'calm',
    plugin: pluginIdOf(event),
    params: { generation, ms: drain_ms },
    cause: null,
    total: null,
    timings: [],
    error: null,
    installs: [],
  };
}

const TASK_TONES: Record<TaskLineKind, Tone> = {
  created: 'calm',
  queued: 'calm',
  started: 'calm',
  paused: 'calm',
  results: 'calm',
  completed: 'good',
  handed_over: 'good',
  failed: 'bad',
  cancelled: 'warn',
};

function taskSaying(event: TaskEvent): Extract<Saying, { of: 'task' }> | null {
  const { task } = event.data;
  const told = event.type.slice('plugbay.task.'.length);
  const kind = TASK_KINDS.find((one) => one === (task.status === 'handed_over' && told === 'completed' ? 'handed_over' : told));
  if (kind === undefined) return null;
  const count = event.type === 'plugbay.task.results' ? event.data.results.length : task.result_count;
  const title = task.title || task.keyword || task.url || task.id;
  return { of: 'task', kind, task: task.kind, title, count, reason: kind === 'failed' ? (task.error ?? '') : '' };
}

/**
 * Joins what is known with what has come, each once, newest first, `STREAM_LIMIT` at most.
 *
 * @param known newest first
 */
export function joined(known: readonly StreamEntry[], come: readonly StreamEntry[]): readonly StreamEntry[] {
  if (come.length === 0) return known;
  const all = new Map<string, StreamEntry>();
  for (const entry of [...come, ...known]) if (!all.has(entry.id)) all.set(entry.id, entry);
  return [...all.values()].sort(newestFirst).slice(0, STREAM_LIMIT);
}

function newestFirst(one: StreamEntry, other: StreamEntry): number {
  if (one.at !== other.at) return one.at < other.at ? 1 : -1;
  // Of one instant, the log knows the order.
  const [first, second] = [one.event.seq, other.event.seq];
  if (first === undefined || second === undefined || first === second) return 0;
  return BigInt(first) < BigInt(second) ? 1 : -1;
}

/** Whether the filter lets the entry through. */
export function passes(entry: StreamEntry, filter: StreamFilter): boolean {
  if (filter.area !== null && entry.area !== filter.area) return false;
  if (filter.plugin !== null && entry.plugin !== filter.plugin) return false;
  if (filter.outcome === 'good' && entry.tone !== 'good') return false;
  if (filter.outcome === 'bad' && entry.tone !== 'bad' && entry.tone !== 'warn') return false;
  const words = filter.words.trim().toLowerCase();
  return words === '' || words.split(/\s+/).every((word) => textOf(entry).includes(word));
}

/** What the words of the filter are looked for in. */
function textOf({ event, plugin, saying }: StreamEntry): string {
  const parts: (string | null | undefined)[] = [event.type, event.subject, plugin];
  if (saying.of === 'task') parts.push(saying.title, saying.reason);
  if (saying.of === 'plugin') {
    const { error, cause } = saying.activity;
    parts.push(cause, error?.message, error?.messages?.zh, error?.messages?.en, error?.file, error?.code);
  }
  return parts.filter(Boolean).join('\n').toLowerCase();
}
