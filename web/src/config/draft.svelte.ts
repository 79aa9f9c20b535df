/**
 * What is being typed into a form: one draft for each value, which can be turned back into JSON at any time. A draft
 * with others in it keeps what they come to, so that a letter typed into a long list costs no more than in a short one.
 */

import { type Field, isObject, type ObjectShape, type Option, own, same, type Shape, shown } from './field';

/** What the server shows of a password that is stored; sent back it leaves it as it is. */
export const MASK = '********';

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?$/;

export type Draft =
  | TextDraft
  | SecretDraft
  | BooleanDraft
  | SelectDraft
  | SeveralDraft
  | ListDraft
  | ObjectDraft
  | ChoiceDraft
  | AnyDraft;

let nextId = 1;

/** Text and numbers, as they are typed. */
export class TextDraft {
  readonly kind = 'text';
  text = $state('');

  constructor(
    readonly shape: Extract<Shape, { kind: 'text' | 'number' }>,
    value: unknown,
  ) {
    this.text = value === undefined ? '' : String(value);
  }

  value(): unknown {
    const text = this.shape.kind === 'number' ? this.text.trim() : this.text;
    if (text === '') return undefined;
    if (this.shape.kind === 'text' || !NUMBER.test(text)) return text;
    const number = Number(text);
    // What a number of this page cannot hold goes as text, which the server understands.
    const exact = Number.isFinite(number) && (!/^[+-]?\d+$/.test(text) || Number.isSafeInteger(number));
    return exact ? number : text;
  }
}

/** A password: what is stored is never known here, only that something is. */
export class SecretDraft {
  readonly kind = 'secret';
  typed = $state('');
  cleared = $state(false);
  stored = $state(false);

  constructor(value: unknown) {
    this.stored = value === MASK;
    this.typed = value === undefined || this.stored ? '' : String(value);
  }

  value(): unknown {
    if (this.typed !== '') return this.typed;
    return this.stored && !this.cleared ? MASK : undefined;
  }

  /** What was typed is stored now, so it is known no longer. */
  settle(): void {
    this.stored = this.value() !== undefined;
    this.typed = '';
    this.cleared = false;
  }
}

export class BooleanDraft {
  readonly kind = 'boolean';
  on = $state<boolean | undefined>(undefined);

  constructor(value: unknown) {
    this.on = typeof value === 'boolean' ? value : undefined;
  }

  value(): unknown {
    return this.on;
  }
}

/** One of some values; a value that is not among them is kept until another is chosen. */
export class SelectDraft {
  readonly kind = 'select';
  readonly options: readonly Option[];
  /** The place of the chosen one, -1 for none. */
  chosen = $state(-1);

  constructor(shape: Extract<Shape, { kind: 'select' }>, value: unknown) {
    const known = shape.options.findIndex((option) => same(option.value, value));
    const strange = value !== undefined && known < 0;
    this.options = strange ? [...shape.options, { value, label: shown(value) }] : shape.options;
    this.chosen = strange ? shape.options.length : known;
  }

  value(): unknown {
    return this.options[this.chosen]?.value;
  }
}

/** Any number of some values. */
export class SeveralDraft {
  readonly kind = 'several';
  readonly options: readonly Option[];
  chosen = $state<boolean[]>([]);
  private readonly present: boolean;

  constructor(shape: Extract<Shape, { kind: 'several' }>, value: unknown) {
    const values = Array.isArray(value) ? value : [];
    const strange = values.filter((one) => !shape.options.some((option) => same(option.value, one)));
    this.options = [...shape.options, ...strange.map((one) => ({ value: one, label: shown(one) }))];
    this.chosen = this.options.map((option) => values.some((one) => same(one, option.value)));
    this.present = Array.isArray(value);
  }

  value(): unknown {
    const values = this.options.filter((_, at) => this.chosen[at]).map((option) => option.value);
    return values.length === 0 && !this.present ? undefined : values;
  }
}

export interface Item {
  id: number;
  draft: Draft;
}

export class ListDraft {
  readonly kind = 'list';
  items = $state.raw<readonly Item[]>([]);
  private readonly present: boolean;
  private readonly filled = $derived(this.items.filter((item) => item.draft.value() !== undefined));
  private readonly whole = $derived.by(() => {
    const values = this.filled.map((item) => item.draft.value());
    return values.length === 0 && !this.present ? undefined : values;
  });

  constructor(
    readonly shape: Extract<Shape, { kind: 'list' }>,
    value: unknown,
  ) {
    this.present = Array.isArray(value);
    this.items = (Array.isArray(value) ? value : []).map((one) => this.item(one));
  }

  add(): Item {
    const item = this.item(undefined);
    this.items = [...this.items, item];
    return item;
  }

  remove(item: Item): void {
    this.items = this.items.filter((one) => one !== item);
  }

  /** Moves an item by one place, up with -1 or down with 1. */
  move(item: Item, by: -1 | 1): void {
    const from = this.items.indexOf(item);
    const to = from + by;
    if (from < 0 || to < 0 || to >= this.items.length) return;
    const moved = this.items.filter((one) => one !== item);
    this.items = [...moved.slice(0, to), item, ...moved.slice(to)];
  }

  /** The items that are sent: one into which nothing was typed is none. */
  sent(): readonly Item[] {
    return this.filled;
  }

  value(): unknown {
    return this.whole;
  }

  private item(value: unknown): Item {
    const shape = this.shape.item();
    const draft = draftOf(shape, value ?? (shape.kind === 'object' ? startOf(shape) : undefined));
    return { id: nextId++, draft };
  }
}

/** A new entry begins with the defaults of its fields, and with what can have one value only. */
function startOf(shape: ObjectShape): Record<string, unknown> {
  const start = shape.fields.flatMap(({ name, fallback, shape: inner }): [string, unknown][] => {
    const [only, ...others] = inner.kind === 'select' ? inner.options : [];
    if (fallback !== undefined && inner.kind !== 'secret') return [[name, fallback]];
    return only !== undefined && others.length === 0 ? [[name, only.value]] : [];
  });
  return Object.fromEntries(start);
}

export interface Member {
  field: Field;
  draft: Draft;
}

/** A value under a name of the reader's choice. */
export class Extra {
  readonly id = nextId++;
  name = $state('');

  constructor(
    name: string,
    readonly draft: Draft,
  ) {
    this.name = name;
  }
}

export class ObjectDraft {
  readonly kind = 'object';
  members = $state.raw<readonly Member[]>([]);
  extras = $state.raw<readonly Extra[]>([]);
  /** What no field is for; it is kept. */
  readonly unknown: Readonly<Record<string, unknown>>;
  private readonly present: boolean;
  private readonly whole = $derived.by((): Record<string, unknown> | undefined => {
    const entries = [
      ...this.members.map(({ field, draft }) => [field.name, draft.value()] as const),
      ...this.extras.map(({ name, draft }) => [name, draft.value()] as const),
      ...Object.entries(this.unknown),
    ].filter(([, value]) => value !== undefined);
    return entries.length === 0 && !this.present ? undefined : (Object.fromEntries(entries) as Record<string, unknown>);
  });

  constructor(
    readonly shape: ObjectShape,
    value: unknown,
  ) {
    const given = isObject(value) ? value : {};
    this.present = isObject(value);
    this.members = shape.fields.map((field) => ({ field, draft: draftOf(field.shape, own(given, field.name)) }));
    const names = new Set(shape.fields.map((field) => field.name));
    const rest = Object.entries(given).filter(([name]) => !names.has(name));
    const { extra } = shape;
    this.unknown = extra === null ? Object.fromEntries(rest) : {};
    this.extras = extra === null ? [] : rest.map(([name, one]) => new Extra(name, draftOf(extra(), one)));
  }

  addExtra(): Extra | null {
    if (this.shape.extra === null) return null;
    const extra = new Extra('', draftOf(this.shape.extra(), undefined));
    this.extras = [...this.extras, extra];
    return extra;
  }

  removeExtra(extra: Extra): void {
    this.extras = this.extras.filter((one) => one !== extra);
  }

  /** Puts a field back to its default, or to not being set. */
  reset(member: Member): void {
    const draft = draftOf(member.field.shape, member.field.fallback);
    this.members = this.members.map((one) => (one === member ? { ...one, draft } : one));
  }

  value(): Record<string, unknown> | undefined {
    return this.whole;
  }
}

export class ChoiceDraft {
  readonly kind = 'choice';
  readonly drafts: readonly Draft[];
  /** -1 where nothing is set. */
  chosen = $state(-1);

  constructor(
    readonly shape: Extract<Shape, { kind: 'choice' }>,
    value: unknown,
  ) {
    const fits = shape.variants.map((variant) => (value === undefined ? 0 : variant.fits(value)));
    const best = Math.max(...fits, 0);
    const chosen = best > 0 ? fits.indexOf(best) : -1;
    this.chosen = chosen;
    this.drafts = shape.variants.map(({ shape: inner }, at) => {
      const start = inner.kind === 'object' ? startOf(inner) : undefined;
      return draftOf(inner, at === chosen ? value : start);
    });
  }

  get draft(): Draft | null {
    return this.drafts[this.chosen] ?? null;
  }

  value(): unknown {
    const { draft } = this;
    if (draft === null) return undefined;
    return draft.value() ?? (draft.kind === 'object' ? {} : undefined);
  }
}

/** Any JSON value; texts without their quotes unless `json`. */
export class AnyDraft {
  readonly kind = 'any';
  text = $state('');
  json = $state(false);

  constructor(value: unknown, json = true) {
    this.json = value === undefined ? json : typeof value !== 'string';
    this.text = value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  }

  get flawed(): boolean {
    return this.json && this.text.trim() !== '' && parsed(this.text) === undefined;
  }

  /** Writes the same value the other way. */
  setJson(json: boolean): void {
    const value = this.value();
    if (json && typeof value === 'string') this.text = JSON.stringify(value);
    if (!json && this.json && typeof value === 'string') this.text = value;
    this.json = json;
  }

  value(): unknown {
    if (this.text.trim() === '') return undefined;
    return this.json ? (parsed(this.text) ?? this.text) : this.text;
  }
}

/** The draft for a value; one that does not have the shape is kept as JSON rather than lost. */
export function draftOf(shape: Shape, given: unknown): Draft {
  const value = given === null ? undefined : given;
  switch (shape.kind) {
    case 'text':
    case 'number':
      return typeof value === 'object' ? new AnyDraft(value) : new TextDraft(shape, value);
    case 'secret':
      return typeof value === 'object' ? new AnyDraft(value) : new SecretDraft(value);
    case 'boolean': {
      const named = value === 'true' || value === 'false' ? value === 'true' : value;
      return named === undefined || typeof named === 'boolean' ? new BooleanDraft(named) : new AnyDraft(value);
    }
    case 'select':
      return new SelectDraft(shape, value);
    case 'several':
      return value === undefined || Array.isArray(value) ? new SeveralDraft(shape, value) : new AnyDraft(value);
    case 'list':
      return value === undefined || Array.isArray(value) ? new ListDraft(shape, value) : new AnyDraft(value);
    case 'object':
      return value === undefined || isObject(value) ? new ObjectDraft(shape, value) : new AnyDraft(value);
    case 'choice': {
      const fits = value === undefined || shape.variants.some((variant) => variant.fits(value) > 0);
      return fits ? new ChoiceDraft(shape, value) : new AnyDraft(value);
    }
    case 'any':
      return new AnyDraft(value, shape.json);
  }
}

/** The value of a JSON text, undefined where it is none. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
