/** The shapes that the server sends, as far as the page reads them. */

import type { LoadError as Failure, Plugin, PluginType } from './generated';
import { PLUGIN_TYPES } from './generated';

export {
  type Draining,
  LOAD_STAGES,
  type Origin,
  type Plugin,
  PLUGIN_STATES,
  PLUGIN_TYPES,
  type PluginState,
  type PluginType,
} from './generated';

/** The stages that an install announces, in order. */
export const INSTALL_STAGES = ['fetch', 'load', 'install'] as const;

export type Language = 'zh' | 'en';

/** Why something failed: a load, or, with an empty stage, anything else. */
export interface LoadError extends Omit<Failure, 'stage' | 'messages'> {
  stage: Failure['stage'] | '';
  messages?: Record<Language, string>;
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
