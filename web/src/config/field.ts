/** What a form is made of, whichever way the plugin describes its configuration. */

import type { ConfigField } from '../api/generated';

export interface Option {
  label: string;
  value: unknown;
}

/** Bounds as the schema states them; null where it states none. The server is who checks them. */
export interface Bounds {
  least: number | null;
  most: number | null;
}

/**
 * What a value may be. Lists make their items' shape when one is added, so that a schema may refer to itself.
 *
 * `any` is a value that no form fits, written as text or as JSON; `json` is which of both a new one begins with.
 */
export type Shape =
  | { kind: 'text'; multiline: boolean; length: Bounds; format: string }
  | { kind: 'secret' }
  | { kind: 'number'; integer: boolean; range: Bounds }
  | { kind: 'boolean' }
  | { kind: 'select'; options: readonly Option[] }
  | { kind: 'several'; options: readonly Option[] }
  | { kind: 'list'; item: () => Shape; count: Bounds }
  | ObjectShape
  | { kind: 'choice'; variants: readonly Variant[] }
  | { kind: 'any'; json: boolean };

export interface ObjectShape {
  kind: 'object';
  fields: readonly Field[];
  /** The shape of values under names of the reader's choice; null where there are none. */
  extra: (() => Shape) | null;
}

/** One of several shapes that a value may have. */
export interface Variant {
  label: string;
  shape: Shape;
  /** How well a value fits, from 0 for not at all. */
  fits: (value: unknown) => number;
}

export interface Field {
  name: string;
  /** As the plugin has it, perhaps in two languages. */
  label: string;
  description: string;
  required: boolean;
  /** What counts where nothing is set; undefined where nothing does. */
  fallback: unknown;
  shape: Shape;
}

const NO_BOUNDS: Bounds = { least: null, most: null };
const ANY_TEXT: Shape = { kind: 'any', json: false };

/** The shape of a whole configuration that is described by fields. */
export function shapeOfFields(fields: readonly ConfigField[]): ObjectShape {
  return { kind: 'object', fields: fields.map(asField), extra: null };
}

function asField(field: ConfigField): Field {
  return {
    name: field.name,
    label: field.label || field.name,
    description: field.description,
    required: field.required,
    fallback: field.default ?? undefined,
    shape: shapeOfField(field),
  };
}

function shapeOfField({ type, options, fields }: ConfigField): Shape {
  switch (type) {
    case 'text':
      return { kind: 'text', multiline: false, length: NO_BOUNDS, format: '' };
    case 'password':
      return { kind: 'secret' };
    case 'number':
      return { kind: 'number', integer: false, range: NO_BOUNDS };
    case 'boolean':
      return { kind: 'boolean' };
    case 'select':
      return options?.length ? { kind: 'select', options: options.map(asOption) } : ANY_TEXT;
    case 'list': {
      const item: Shape = fields?.length ? shapeOfFields(fields) : ANY_TEXT;
      return { kind: 'list', item: () => item, count: NO_BOUNDS };
    }
    default:
      return ANY_TEXT;
  }
}

/** An option is a value, or an object with its `value` and `label`. */
export function asOption(option: unknown): Option {
  if (isObject(option) && 'value' in option) {
    return { value: option.value, label: typeof option.label === 'string' ? option.label : shown(option.value) };
  }
  return { value: option, label: shown(option) };
}

/** A value as a short text. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A member that is the object's own: `constructor` is a name like any other. */
export function own(object: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Whether two JSON values are the same, whatever the order of their keys. */
export function same(one: unknown, other: unknown): boolean {
  if (Array.isArray(one)) {
    return Array.isArray(other) && one.length === other.length && one.every((value, at) => same(value, other[at]));
  }
  if (isObject(one) && isObject(other)) {
    const names = Object.keys(one);
    return (
      names.length === Object.keys(other).length &&
      names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]))
    );
  }
  return one === other;
}
