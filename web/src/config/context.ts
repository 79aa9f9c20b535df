/** What every control of a form can ask of it. */

import { getContext, setContext } from 'svelte';
import type { Flaw } from './places';

export interface FormContext {
  /** What the server says is wrong at a place. */
  errors(path: string): readonly string[];
  /** Whether something is wrong at the place or within it. */
  troubled(path: string): boolean;
  flaw(path: string): Flaw | null;
  /** Whether the place is required and has no value. */
  missing(path: string): boolean;
  /** The value at the place is being changed. */
  forget(path: string): void;
  /** Which entries of lists are unfolded, by place, also after the form was filled anew. */
  folds: Map<string, boolean>;
  /** Says something to those who cannot see it. */
  say(text: string): void;
}

const KEY = Symbol('config form');

export function provide(context: FormContext): void {
  setContext(KEY, context);
}

export function use(): FormContext {
  return getContext<FormContext>(KEY);
}
