/**
 * What the server sends: its events as one union, and the structs in them.
 *
 * Made by `python -m tests.events_typescript` from the server's own types; not edited here.
 */

/** What a plugin does; also the name of its folder under `plugins/`. */
export const PLUGIN_TYPES = [
  'search',
  'download',
  'parser',
] as const;
export type PluginType = (typeof PLUGIN_TYPES)[number];

/** One field of a plugin's configuration form. */
export interface ConfigField {
  name: string;
  label: string;
  type: string;
  default: unknown;
  required: boolean;
  options: unknown[] | null;
  description: string;
  fields: ConfigField[] | null;
}

/**
 * What a client sees of a plugin.
 *
 * `loading`: the first generation is on its way. `active`: the newest file serves. `degraded`: an older
 * generation serves because the newest file does not load. `failed`: nothing serves. `disabled`: switched off.
 */
export const PLUGIN_STATES = [
  'loading',
  'active',
  'degraded',
  'failed',
  'disabled',
] as const;
export type PluginState = (typeof PLUGIN_STATES)[number];

/** The steps of a load, in order. */
export const LOAD_STAGES = [
  'fetch',
  'dependencies',
  'import',
  'contract',
  'config',
  'start',
  'self_check',
] as const;
export type LoadStage = (typeof LOAD_STAGES)[number];

/** The same sentence in Chinese and in English. */
export interface LocalizedText {
  zh: string;
  en: string;
}

/**
 * Why a generation did not get ready.
 *
 * `type` is the exception's class name or empty. `file` is relative to home; `line` and `column` count from 1.
 * `traceback` has the plugin's own frames only. `messages` holds both languages, so that a client that gets
 * this in an event, which is not addressed to one reader, can choose.
 */
export interface LoadError {
  stage: LoadStage;
  code: string;
  type: string;
  message: string;
  file: string | null;
  line: number | null;
  column: number | null;
  traceback: string | null;
  generation: number | null;
  messages: LocalizedText;
}

/** A retired generation that still has calls to finish. */
export interface Draining {
  generation: number;
  calls: number;
}

/**
 * Where a plugin's file came from: `file` (put there by hand), `url`, `upload` or `bundled`.
 *
 * Of one that came from an address, `host` is where redirects led to (with the port where that is not the usual one),
 * `etag` and `modified` are what its server said of the file, and `requirements` is the SHA-256 of the requirements
 * file that came with it.
 */
export interface Origin {
  kind: string;
  sha256: string;
  url: string | null;
  host?: string;
  etag?: string;
  modified?: string;
  requirements?: string;
}

/** What the plugin asked for, what it was granted, and what it asked for in vain. */
export interface Permissions {
  asked: Record<string, unknown>;
  granted: Record<string, unknown>;
  lacking: Record<string, unknown>;
}

/** A plugin as clients see it: `P` of the interface. */
export interface Plugin {
  id: string;
  type: PluginType;
  name: string;
  version: string;
  description: string;
  config_schema: ConfigField[];
  enabled: boolean;
  state: PluginState;
  generation: number;
  revision: string | null;
  file: string;
  loaded_at: string | null;
  load_ms: number | null;
  error: LoadError | null;
  running_calls: number;
  draining: Draining[];
  origin: Origin;
  permissions: Permissions;
  config_missing: string[];
  config_json_schema?: Record<string, unknown>;
  supported_protocols?: string[];
}

/** Why a plugin changed. */
export const CAUSES = [
  'startup',
  'file',
  'api',
  'config',
  'rollback',
  'crash',
] as const;
export type Cause = (typeof CAUSES)[number];

/**
 * The client of a request.
 *
 * Attributes:
 *     address: its IP address; behind a trusted proxy, that of the client itself.
 *     via: by what it was let in, null where it was not, and may do only what anybody may.
 */
export interface Actor {
  address: string;
  via: 'bearer' | 'cookie' | 'loopback' | null;
}

/** How long a change took, in milliseconds: from the save to its notice, of the load, and of all. */
export interface Timings {
  detect_ms: number;
  load_ms: number;
  total_ms: number;
}

/** How far the dependencies of a plugin are: `step` is `resolve`, `download` or `install`. */
export interface InstallProgress {
  step: string;
  packages: string[];
  done: number | null;
  total: number | null;
}

/** What a task does. */
export const TASK_KINDS = [
  'search',
  'parse',
  'download',
] as const;
export type TaskKind = (typeof TASK_KINDS)[number];

/**
 * How a task stands.
 *
 * `running` is called `downloading` of a download. `handed_over`: another program goes on with the download and nobody
 * here can follow it.
 */
export const TASK_STATUSES = [
  'pending',
  'running',
  'downloading',
  'paused',
  'completed',
  'failed',
  'cancelled',
  'handed_over',
] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

/** Why a task failed, as the problem object (RFC 9457) of a request would say it, in both languages. */
export interface TaskProblem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  titles: LocalizedText;
  messages: LocalizedText;
  error: Record<string, unknown> | null;
}

/**
 * A plugin that failed within a task; the others' results count all the same.
 *
 * `file` and `line` are the place in its own code, where it raised there.
 */
export interface TaskFailure {
  plugin: string;
  code: string;
  message: string;
  messages: LocalizedText;
  file: string | null;
  line: number | null;
}

/** A plugin that has done its part of a search or a parse, well or not, and how many milliseconds it took. */
export interface TaskAnswer {
  plugin: string;
  ms: number;
}

/**
 * A task as clients see it.
 *
 * `progress` is 0 to 100, `speed` bytes a second, `eta` seconds, `downloaded` and `total` bytes. `error` is the text
 * of `problem`. `results` is null where a list of tasks or an event leaves them out; `result_count` is how many there
 * are. `resumable`: whether it can be paused, or goes on from a checkpoint. `external_id` is what another program
 * calls the download. `searching` names the plugins that have not answered yet, `answered` those that have.
 * `request_id` is the request that asked for it, which the lines of the logs about it have, too.
 */
export interface Task {
  id: string;
  kind: TaskKind;
  status: TaskStatus;
  plugin_name: string | null;
  generation: number | null;
  title: string;
  url: string | null;
  keyword: string | null;
  plugins: string[] | null;
  limit: number | null;
  progress: number;
  progress_message: string;
  downloaded: number | null;
  total: number | null;
  speed: number | null;
  eta: number | null;
  error: string | null;
  problem: TaskProblem | null;
  results: unknown[] | null;
  result_count: number;
  failures: TaskFailure[];
  searching: string[];
  answered: TaskAnswer[];
  save_path: string | null;
  metadata: Record<string, unknown>;
  external_id: string | null;
  resumable: boolean;
  request_id: string | null;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
}

/**
 * What became of one plugin in one step.
 *
 * `calls` ended in the step, `errors` of them without a result; `mean_ms` is how long they took. `running` calls are
 * under way as of the step's end, `draining` more in generations that no new call begins in. The totals count since
 * the server's start.
 */
export interface Activity {
  calls: number;
  errors: number;
  mean_ms: number;
  running: number;
  draining: number;
  total_calls: number;
  total_errors: number;
}

/** All plugins by type, and the position in the event log that they are as of. */
export interface PluginList {
  search: Plugin[];
  download: Plugin[];
  parser: Plugin[];
  epoch: string;
  seq: string;
}

/** The newest tasks without their results; `next_cursor` asks for the ones before them. */
export interface TaskList {
  tasks: Task[];
  next_cursor: string | null;
}

/**
 * What became of a subscription.
 *
 * `recovered` is false where the position could not be resumed from; then nothing is in force. `replayed` events
 * follow the answer, up to `seq`.
 */
export interface Subscribed {
  epoch: string;
  seq: string;
  recovered: boolean;
  replayed: number;
}

/**
 * How one plugin is called.
 *
 * `calls`, `errors` and `mean_ms` count since the server's start; `running` and `draining` are calls under way now.
 * `series` has the steps of the last two minutes, the newest that is over last: calls, errors, and their mean time in
 * milliseconds.
 */
export interface PluginStats {
  calls: number;
  errors: number;
  mean_ms: number;
  running: number;
  draining: number;
  series: [number, number, number][];
}

/**
 * One load of a plugin that has ended.
 *
 * `ms` is the time from its cause, such as a save, until it served, `load_ms` that of the load alone; both are null
 * where it does not load.
 */
export interface Load {
  at: string;
  id: string;
  generation: number;
  cause: Cause;
  ok: boolean;
  ms: number | null;
  load_ms: number | null;
}

/**
 * How plugins are called, and how their last loads went.
 *
 * `step` is the newest step of `step_s` seconds that is over, and `at` when it ended. An event `plugbay.stats` with a
 * higher `step` goes on from here. Plugins that were never called are left out.
 */
export interface Stats {
  at: string;
  step: number;
  step_s: number;
  plugins: Record<string, PluginStats>;
  reloads: Load[];
}

/**
 * The newest events of the log, the oldest first, each as it went over the WebSocket.
 *
 * `epoch` and `seq` are the position that this is as of: whoever subscribes from there misses nothing.
 */
export interface ActivityList {
  epoch: string;
  seq: string;
  events: PlugbayEvent[];
}

/** One part of the server. */
export interface PartView {
  ok: boolean;
  message: string;
}

/** How many plugins are in each state. */
export interface PluginStates {
  loading: number;
  active: number;
  degraded: number;
  failed: number;
  disabled: number;
}

/** The processes that plugins run in: those that serve, those that finish their calls, and all, spares too. */
export interface Workers {
  serving: number;
  draining: number;
  total: number;
}

/** The log of events in memory: its head, how much it keeps, and how much it may. */
export interface EventLogView {
  epoch: string;
  seq: string;
  events: number;
  bytes: number;
  max_events: number;
  max_bytes: number;
}

/** How many sets of packages there are, and their size on the disk in bytes. */
export interface EnvironmentSizes {
  count: number;
  size: number;
}

/**
 * Memory in bytes, pages that several processes share counted by their share (PSS).
 *
 * `plugins` is that of all processes below the server, which are `processes` in number; null where the kernel does not
 * tell it of one of them.
 */
export interface Memory {
  server: number;
  plugins: number | null;
  processes: number;
}

/**
 * The server itself.
 *
 * `home` is the name of its home folder. `memory` is null where the kernel does not tell it. `loop_lag_ms` is how late
 * the event loop is. `parts` are those of `/readyz`.
 */
export interface Server {
  version: string;
  started_at: string;
  uptime_s: number;
  python: string;
  platform: string;
  home: string;
  ready: boolean;
  parts: Record<string, PartView>;
  plugins: PluginStates;
  workers: Workers;
  clients: number;
  events: EventLogView;
  environments: EnvironmentSizes;
  memory: Memory | null;
  loop_lag_ms: number;
}

/** Whether this connection needs the token, and by what it was let in; `by` is null where it is not. */
export interface Session {
  required: boolean;
  by: 'bearer' | 'cookie' | 'loopback' | null;
}

/**
 * An error (RFC 9457). `code` never changes with the language; some codes add members of their own.
 *
 * `request_id` is what the lines of the server's log about this request have, too.
 */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  request_id: string;
  [member: string]: unknown;
}

/**
 * A plugin was loaded, reloaded, failed, unloaded, enabled, disabled, configured or crashed.
 *
 * `loading` only announces a change; exactly one of the others ends it. `by` is the client that asked for it, null
 * where none did: a file was saved, a process ended, the server started.
 */
export interface PluginChangedData {
  plugin: Plugin;
  cause: Cause;
  by: Actor | null;
  timings?: Timings;
}

/**
 * An install has come to a stage; `subject` names the plugin as far as it is known.
 *
 * Stage `failed` ends one that left nothing; `error` says why. In stage `dependencies`, `progress` says how far
 * they are. `by` is the client that asked for it, null where a file did.
 */
export interface PluginInstallingData {
  stage: string;
  url: string | null;
  by: Actor | null;
  error?: LoadError;
  progress?: InstallProgress;
}

/** The last call of a retired generation has ended and its worker is gone. */
export interface GenerationDrainedData {
  generation: number;
  drain_ms: number;
  forced: boolean;
}

/** All plugins were reloaded by request, that of `by`. */
export interface RegistryReloadedData {
  success_count: number;
  fail_count: number;
  by: Actor | null;
}

/** The configuration of all plugins was replaced by an import, that of `by`. */
export interface ConfigImportedData {
  reloaded_count: number;
  by: Actor | null;
}

/** The server's token was replaced, by request of `by`: what knew the old one has to sign in again. */
export interface TokenRotatedData {
  by: Actor | null;
}

/**
 * A task was created, queued again, started, paused, completed, failed or cancelled.
 *
 * `completed` also ends a download that was handed over to another program; its `status` says so.
 */
export interface TaskChangedData {
  task: Task;
}

/** A task has come further; at most four times a second. */
export interface TaskProgressData {
  task: Task;
  speed: number | null;
  eta: number | null;
}

/** A search has found more: `results` holds what is new, in the order in which it came. */
export interface TaskResultsData {
  task: Task;
  results: unknown[];
}

/** A plugin printed or logged a line; `request` is there where a call of that request had it do so. */
export interface LogLineData {
  at: string;
  level: string;
  generation: number;
  message: string;
  request?: string;
}

/**
 * How plugins were called in one step of two seconds; those that nothing became of are left out.
 *
 * `step` counts the steps of this run of the server, `at` is when it ended. A client that comes later fetches `GET
 * /api/stats`, and drops what comes with a `step` up to that of the answer.
 */
export interface StatsToldData {
  at: string;
  step: number;
  step_s: number;
  plugins: Record<string, Activity>;
}

/** CloudEvents 1.0 in JSON. An event of the log has a place in it, `seq`, a decimal number as text. */
export interface LoggedEvent<Type extends string, Data> {
  specversion: '1.0';
  id: string;
  source: string;
  type: Type;
  subject: string;
  time: string;
  datacontenttype: 'application/json';
  epoch: string;
  seq: string;
  data: Data;
}

/** A passing event has no place in the log and is never replayed. */
export interface PassingEvent<Type extends string, Data> extends Omit<LoggedEvent<Type, Data>, 'seq'> {
  seq?: never;
}

/** `subject` is `plugins/{type}/{name}`. */
export type PluginChangedEvent =
  | LoggedEvent<'plugbay.plugin.loading', PluginChangedData>
  | LoggedEvent<'plugbay.plugin.loaded', PluginChangedData>
  | LoggedEvent<'plugbay.plugin.reloaded', PluginChangedData>
  | LoggedEvent<'plugbay.plugin.failed', PluginChangedData>
  | LoggedEvent<'plugbay.plugin.unloaded', PluginChangedData>
  | LoggedEvent<'plugbay.plugin.enabled', PluginChangedData>
  | LoggedEvent<'plugbay.plugin.disabled', PluginChangedData>
  | LoggedEvent<'plugbay.plugin.configured', PluginChangedData>
  | LoggedEvent<'plugbay.plugin.crashed', PluginChangedData>;

/** `subject` is `plugins/{type}/{name}`. */
export type PluginInstallingEvent = LoggedEvent<'plugbay.plugin.installing', PluginInstallingData>;

/** `subject` is `plugins/{type}/{name}`. */
export type GenerationDrainedEvent = LoggedEvent<'plugbay.generation.drained', GenerationDrainedData>;

/** `subject` is `registry`. */
export type RegistryReloadedEvent = LoggedEvent<'plugbay.registry.reloaded', RegistryReloadedData>;

/** `subject` is `config`. */
export type ConfigImportedEvent = LoggedEvent<'plugbay.config.imported', ConfigImportedData>;

/** `subject` is `token`. */
export type TokenRotatedEvent = LoggedEvent<'plugbay.token.rotated', TokenRotatedData>;

/** `subject` is `tasks/{id}`. */
export type TaskChangedEvent =
  | LoggedEvent<'plugbay.task.created', TaskChangedData>
  | LoggedEvent<'plugbay.task.queued', TaskChangedData>
  | LoggedEvent<'plugbay.task.started', TaskChangedData>
  | LoggedEvent<'plugbay.task.paused', TaskChangedData>
  | LoggedEvent<'plugbay.task.completed', TaskChangedData>
  | LoggedEvent<'plugbay.task.failed', TaskChangedData>
  | LoggedEvent<'plugbay.task.cancelled', TaskChangedData>;

/** `subject` is `tasks/{id}`. */
export type TaskProgressEvent = PassingEvent<'plugbay.task.progress', TaskProgressData>;

/** `subject` is `tasks/{id}`. */
export type TaskResultsEvent = LoggedEvent<'plugbay.task.results', TaskResultsData>;

/** `subject` is `logs/{type}/{name}`. */
export type LogLineEvent = PassingEvent<'plugbay.log', LogLineData>;

/** `subject` is `stats`. */
export type StatsToldEvent = PassingEvent<'plugbay.stats', StatsToldData>;

/** Says how far the client has been served: `seq` is the head, or its own place. */
export type HeartbeatEvent = LoggedEvent<'plugbay.heartbeat', Record<string, never>>;

/** Every event that comes over the WebSocket; `type` tells them apart. */
export type PlugbayEvent =
  | PluginChangedEvent
  | PluginInstallingEvent
  | GenerationDrainedEvent
  | RegistryReloadedEvent
  | ConfigImportedEvent
  | TokenRotatedEvent
  | TaskChangedEvent
  | TaskProgressEvent
  | TaskResultsEvent
  | LogLineEvent
  | StatsToldEvent
  | HeartbeatEvent;

/** The type of every event, in the order of their kinds. */
export const EVENT_TYPES = [
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
  'plugbay.token.rotated',
  'plugbay.task.created',
  'plugbay.task.queued',
  'plugbay.task.started',
  'plugbay.task.paused',
  'plugbay.task.completed',
  'plugbay.task.failed',
  'plugbay.task.cancelled',
  'plugbay.task.progress',
  'plugbay.task.results',
  'plugbay.log',
  'plugbay.stats',
  'plugbay.heartbeat',
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** The event of a type, or the union of those of several. */
export type EventOf<Type extends EventType> = Extract<PlugbayEvent, { type: Type }>;
