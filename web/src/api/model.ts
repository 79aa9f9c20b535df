/** The shapes that the server sends, as far as the page reads them. */

export const PLUGIN_TYPES = ['search', 'download', 'parser'] as const;
export type PluginType = (typeof PLUGIN_TYPES)[number];

export const PLUGIN_STATES = ['loading', 'active', 'degraded', 'failed', 'disabled'] as const;
export type PluginState = (typeof PLUGIN_STATES)[number];

/** The stages at which a load can fail. */
export const LOAD_STAGES = ['fetch', 'dependencies', 'import', 'contract', 'config', 'start', 'self_check'] as const;

/** The stages that an install announces, in order. */
export const INSTALL_STAGES = ['fetch', 'load', 'install'] as const;

export type Language = 'zh' | 'en';

/** Why a generation did not get ready. `messages` has both languages, `message` the one of the request. */
export interface LoadError {
  stage: string;
  code: string;
  type: string;
  message: string;
  messages?: Record<Language, string>;
  file: string | null;
  line: number | null;
  column: number | null;
  traceback: string | null;
  generation: number | null;
}

export interface Draining {
  generation: number;
  calls: number;
}

export interface Origin {
  kind: string;
  sha256: string;
  url?: string | null;
}

/** A plugin as the server describes it: `P` of the interface. Times are ISO 8601, durations milliseconds. */
export interface Plugin {
  id: string;
  type: PluginType;
  name: string;
  version: string;
  description: string;
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
  permissions: { asked: Record<string, unknown>; granted: Record<string, unknown> };
  config_missing: string[];
  supported_protocols?: string[];
}

/** A place in the server's event log. `seq` is a decimal number, as text. */
export interface Position {
  epoch: string;
  seq: string;
}

export interface Snapshot extends Position, Record<PluginType, Plugin[]> {}

/** RFC 9457, with the members that the page looks at. */
export interface Problem {
  status: number;
  title: string;
  detail: string;
  code: string;
  error?: LoadError;
  file?: string;
  /** Whose load failed, where it is not the plugin that was asked for. */
  plugin?: string;
  errors?: { field: string; message: string }[];
}

export function isPluginType(value: string): value is PluginType {
  return (PLUGIN_TYPES as readonly string[]).includes(value);
}

/** What is known of a failure that is not one of loading, in the same shape. */
export function plainError(code: string, message: string): LoadError {
  const nothing = { file: null, line: null, column: null, traceback: null, generation: null };
  return { stage: '', code, type: '', message, ...nothing };
}

/** The message of a load failure in the reader's language. */
export function errorMessage(error: LoadError, language: Language): string {
  return error.messages?.[language] ?? error.message;
}

/** `plugins/search/demo_plugin.py:12:5`, as far as it is known. */
export function errorPlace(error: LoadError): string {
  return [error.file, error.line, error.column].filter((part) => part !== null && part !== undefined).join(':');
}
