import { describe, expect, it, vi } from 'vitest';
import type { ConfigField } from '../src/api/generated';
import type { Config } from '../src/config/configApi';
import { type Draft, draftOf, MASK, type ObjectDraft } from '../src/config/draft.svelte';
import { type Shape, shapeOfFields } from '../src/config/field';
import { shapeOfSchema } from '../src/config/jsonSchema';
import { flawsOf, places, withoutDefaults } from '../src/config/places';
import { fileName, read } from '../src/config/transfer';

vi.mock('../src/ui/preferences.svelte', () => ({ preferences: { language: 'en' }, t: (key: string) => key }));

const field = (name: string, type: string, more: Partial<ConfigField> = {}): ConfigField => ({
  ...{ name, type, label: '', default: null, required: false, options: null, description: '', fields: null },
  ...more,
});

function root(shape: Shape, value: Config): ObjectDraft {
  const draft = draftOf(shape, value);
  if (draft.kind !== 'object') throw new Error(`an object was expected, not ${draft.kind}`);
  return draft;
}

function at(draft: Draft, path: string): Draft {
  const found = [...places(draft)].filter(([one]) => one === path).at(-1);
  if (found === undefined) throw new Error(`nothing stands at ${path}`);
  return found[1];
}

describe('the draft of fields', () => {
  const shape = shapeOfFields([
    field('text', 'text', { default: 'x' }),
    field('secret', 'password'),
    field('number', 'number'),
    field('on', 'boolean'),
    field('pick', 'select', { options: [1, '1', { value: true, label: 'Yes' }] }),
    field('free', 'list'),
    field('list', 'list', { fields: [field('host', 'text'), field('port', 'number', { default: 80 }), field('in', 'list', { fields: [field('deep', 'boolean')] })] }),
    field('new', 'colour'),
  ]);
  const whole = {
    text: '行\n二',
    secret: MASK,
    number: 1.5,
    on: false,
    pick: '1',
    free: ['a', 2, { b: [null] }, ''],
    list: [{ host: 'h', port: 1, odd: { kept: true }, in: [{ deep: true }] }],
    new: { any: [1] },
    unknown: 'kept',
  };

  it('gives back what it was given', () => {
    const { free, ...rest } = whole;
    // A text without anything in it is no entry.
    expect(root(shape, whole).value()).toEqual({ ...rest, free: free.slice(0, 3) });
    expect(root(shape, {}).value()).toEqual({});
    const inherited = shapeOfFields([field('constructor', 'text'), field('__proto__', 'list')]);
    expect(root(inherited, {}).value()).toEqual({});
  });

  it('keeps a value that does not have the shape', () => {
    const odd = { list: 'no list', on: 7, number: { a: 1 }, secret: [1], pick: 'none of them' };
    expect(root(shape, odd).value()).toEqual(odd);
  });

  it('makes numbers of what is one, and leaves the rest to the server', () => {
    const draft = root(shape, {});
    const number = at(draft, 'number');
    if (number.kind !== 'text') throw new Error(number.kind);
    const typed = (text: string): unknown => {
      number.text = text;
      return draft.value()?.number;
    };
    expect(['12', ' 1e3 ', '-.5', '0.1'].map(typed)).toEqual([12, 1000, -0.5, 0.1]);
    expect(['', '  '].map(typed)).toEqual([undefined, undefined]);
    expect(['12345678901234567890', '1e999', 'ten', '0x10'].map(typed)).toEqual(['12345678901234567890', '1e999', 'ten', '0x10']);
  });

  it('keeps, replaces and clears a password', () => {
    const draft = root(shape, { secret: MASK });
    const secret = at(draft, 'secret');
    if (secret.kind !== 'secret') throw new Error(secret.kind);
    expect([secret.typed, draft.value()]).toEqual(['', { secret: MASK }]);
    secret.cleared = true;
    expect(draft.value()).toEqual({});
    secret.typed = 'new';
    expect(draft.value()).toEqual({ secret: 'new' });
  });

  it('adds, moves and removes entries; a new one begins with its defaults', () => {
    const draft = root(shape, { list: [{ host: 'a' }, { host: 'b' }] });
    const list = at(draft, 'list');
    if (list.kind !== 'list') throw new Error(list.kind);
    const [first] = list.items;
    if (first === undefined) throw new Error('nothing');
    list.add();
    list.move(first, 1);
    list.move(first, 1);
    list.move(first, 1);
    expect(draft.value()).toEqual({ list: [{ host: 'b' }, { port: 80 }, { host: 'a' }] });
    list.remove(first);
    expect(draft.value()).toEqual({ list: [{ host: 'b' }, { port: 80 }] });
  });

  it('names places as the server does, not counting entries without anything in them', () => {
    const draft = root(shape, { free: ['', 'a'], list: [{ host: 'h', in: [{}] }] });
    const paths = [...places(draft)].map(([path]) => path);
    expect(paths).toEqual(expect.arrayContaining(['free[0]', 'list[0].host', 'list[0].in[0].deep']));
    expect(paths).not.toContain('free[1]');
  });

  it('sees JSON that is none', () => {
    const draft = root(shape, { new: [1] });
    const any = at(draft, 'new');
    if (any.kind !== 'any') throw new Error(any.kind);
    any.text = '[1,';
    expect([...flawsOf(draft)]).toEqual([['new', 'json']]);
    any.setJson(false);
    expect([flawsOf(draft).size, draft.value()]).toEqual([0, { new: '[1,' }]);
  });

  it('does not store a default, so that it can follow it', () => {
    const draft = root(shape, { text: 'x', number: 1 });
    expect(withoutDefaults(draft, draft.value())).toEqual({ number: 1 });
  });
});

describe('the draft of a JSON Schema', () => {
  const schema = {
    type: 'object',
    required: ['url'],
    allOf: [{ $ref: '#/$defs/common' }],
    if: { properties: { url: { const: 'x' } } },
    then: { required: ['late'], properties: { late: { type: 'string' } } },
    properties: {
      url: { type: 'string', format: 'uri' },
      count: { type: 'integer', minimum: 1, exclusiveMaximum: 10 },
      key: { type: 'string', writeOnly: true },
      mode: { oneOf: [{ const: 'a', title: '甲 · A' }, { const: 'b' }] },
      kinds: { type: 'array', uniqueItems: true, items: { enum: ['x', 'y'] } },
      nested: { type: 'object', properties: { inner: { type: ['string', 'null'] } } },
      map: { type: 'object', additionalProperties: { type: 'integer' } },
      free: { type: 'object' },
      either: { type: ['string', 'integer'] },
      source: {
        oneOf: [
          { title: 'Web', properties: { kind: { const: 'web' }, url: { type: 'string' } } },
          { title: 'File', properties: { kind: { const: 'file' }, path: { type: 'string' }, limit: { type: 'integer', default: 5 } } },
        ],
      },
      tree: { $ref: '#/$defs/node' },
      tuple: { type: 'array', prefixItems: [{ type: 'string' }] },
      bare: true,
    },
    $defs: {
      common: { properties: { timeout: { type: 'number', default: 5 } } },
      node: { type: 'object', properties: { name: { type: 'string' }, next: { $ref: '#/$defs/node' }, more: { type: 'array', items: { $ref: '#/$defs/node' } } } },
    },
  };
  const shape = shapeOfSchema(schema);
  const kinds = (value: Config): Record<string, string> =>
    Object.fromEntries(root(shape, value).members.map(({ field: one, draft }) => [one.name, draft.kind]));

  it('has a control for everything', () => {
    expect(kinds({})).toEqual({
      ...{ url: 'text', count: 'text', key: 'secret', mode: 'select', kinds: 'several', nested: 'object', map: 'object' },
      ...{ free: 'object', either: 'choice', source: 'choice', tree: 'object', tuple: 'any', bare: 'any', timeout: 'text' },
      late: 'text',
    });
    expect(root(shape, {}).value()).toEqual({});
  });

  it('gives back what it was given', () => {
    const whole = {
      ...{ url: 'x', count: 3, key: MASK, mode: 'b', kinds: ['y', 'z'], nested: { inner: 'i', more: 1 } },
      ...{ map: { a: 1, b: 2 }, free: { any: [1], text: 't' }, either: 5, source: { kind: 'file', path: 'p' } },
      ...{ tree: { name: 'a', next: { name: 'b' }, more: [{ name: 'c', more: [{ name: 'd' }] }] } },
      ...{ tuple: ['a', 1], bare: 'b', timeout: 2, late: 'l', other: null },
    };
    const { other, ...set } = whole;
    expect(root(shape, whole).value()).toEqual({ ...set, other });
  });

  it('tells what is required and between which bounds', () => {
    const fields = Object.fromEntries(root(shape, {}).members.map(({ field: one }) => [one.name, one]));
    expect([fields.url?.required, fields.late?.required, fields.timeout?.fallback]).toEqual([true, false, 5]);
    expect(fields.count?.shape).toEqual({ kind: 'number', integer: true, range: { least: 1, most: 9 } });
  });

  it('lets the reader choose between shapes', () => {
    const draft = root(shape, { source: { kind: 'web', url: 'u' } });
    const choice = at(draft, 'source');
    if (choice.kind !== 'choice') throw new Error(choice.kind);
    choice.chosen = 1;
    expect(draft.value()).toEqual({ source: { kind: 'file', limit: 5 } });
    choice.chosen = -1;
    expect(draft.value()).toEqual({});
  });

  it('wants names for the members of a map, each another', () => {
    const draft = root(shape, { map: { a: 1 } });
    const map = at(draft, 'map');
    if (map.kind !== 'object') throw new Error(map.kind);
    const extra = map.addExtra();
    if (extra?.draft.kind !== 'text') throw new Error('nothing');
    extra.draft.text = '2';
    expect([...flawsOf(draft).values()]).toEqual(['name.empty']);
    extra.name = 'a';
    expect([...flawsOf(draft).values()]).toEqual(['name.twice']);
    extra.name = 'b';
    expect(draft.value()).toEqual({ map: { a: 1, b: 2 } });
  });

  it.each([[null], [[]], [{ properties: 7 }], [{ $ref: '#' }], [{ allOf: [{ $ref: '#' }] }], [{ anyOf: [{ $ref: '#' }] }], [{ type: 'object', properties: { a: { $ref: '#/nowhere/%E0' } } }]])(
    'survives the odd schema %j',
    (odd) => {
      const draft = draftOf(shapeOfSchema(odd), { a: 1 });
      expect(draft.value()).toEqual({ a: 1 });
    },
  );
});

describe('a file with configuration', () => {
  it.each([
    ['{"config": {"search:demo": {"limit": 1}}, "status": "success", "timestamp": "…"}', { 'search:demo': { limit: 1 } }],
    ['{"search:demo": {}}', { 'search:demo': {} }],
    ['{"config": {}}', {}],
  ])('%s is understood', (text, config) => {
    expect(read(text)).toEqual({ config });
  });

  it.each([
    [' ', 'empty'],
    ['{', 'json'],
    ['[]', 'shape'],
    ['{"search:demo": 1}', 'shape'],
    ['{"limit": {"a": 1}}', 'shape'],
  ])('%s is refused', (text, problem) => {
    expect(read(text)).toEqual({ problem });
  });

  it('is named by its day', () => {
    expect(fileName(new Date(2026, 0, 5, 23, 59))).toBe('plugbay-config-2026-01-05.json');
  });
});
