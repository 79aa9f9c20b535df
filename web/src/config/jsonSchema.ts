/**
 * A plugin's JSON Schema as a form. Only what a form needs is read here; checking is the server's, which stops where a
 * pattern takes for ever: a page cannot.
 */

import { asOption, type Bounds, type Field, isObject, type ObjectShape, type Option, same, type Shape, shown, type Variant } from './field';

type Schema = Record<string, unknown>;

/** Schemas that are being looked at, from the outside in, so that one within itself is noticed. */
type Within = readonly Schema[];

const ANY_JSON: Shape = { kind: 'any', json: true };
const DEEPEST = 8;
/** From this length on, a text gets more than one line. */
const LONG_TEXT = 300;

/** The shape of a whole configuration that is described by a JSON Schema; never throws for an odd one. */
export function shapeOfSchema(schema: unknown): Shape {
  const root = isObject(schema) ? schema : {};
  const shape = shapeOf(root, root, []);
  return shape.kind === 'object' || shape.kind === 'choice' ? shape : objectOf(root, root, []);
}

function shapeOf(given: unknown, root: Schema, within: Within): Shape {
  if (!isObject(given) || within.length > DEEPEST) return ANY_JSON;
  const schema = merged(given, root);
  if (within.some((outer) => outer === given || outer === target(given, root))) return ANY_JSON;
  const inner = [...within, given, target(given, root) ?? given];

  if (schema.format === 'password' || schema.writeOnly === true) return { kind: 'secret' };
  if ('const' in schema) return { kind: 'select', options: [asConstant(schema)] };
  const options = optionsOf(schema);
  if (options !== null) return { kind: 'select', options };
  const variants = variantsOf(schema, root, inner);
  if (variants !== null) return variants;

  const types = typesOf(schema);
  if (types.length > 1) return severalTypes(schema, types, root, within);
  switch (types[0]) {
    case 'string':
      return textOf(schema);
    case 'number':
    case 'integer':
      return { kind: 'number', integer: types[0] === 'integer', range: rangeOf(schema) };
    case 'boolean':
      return { kind: 'boolean' };
    case 'array':
      return listOf(schema, root);
    case 'object':
      return objectOf(schema, root, inner);
    default:
      return { kind: 'any', json: false };
  }
}

/** Each type by itself, for a value that may have several: `["string", "number"]`. */
function severalTypes(schema: Schema, types: readonly string[], root: Schema, within: Within): Shape {
  const variants = types.map((type): Variant => {
    const shape = shapeOf({ ...schema, type }, root, within);
    return { label: `type.${type}`, shape, fits: (value) => (hasType(value, type) ? 1 : 0) };
  });
  return { kind: 'choice', variants };
}

function textOf(schema: Schema): Shape {
  const length = boundsOf(schema, 'minLength', 'maxLength');
  const format = typeof schema.format === 'string' ? schema.format : '';
  const multiline = schema.contentMediaType !== undefined || (length.most ?? 0) >= LONG_TEXT;
  return { kind: 'text', multiline, length, format };
}

function listOf(schema: Schema, root: Schema): Shape {
  const count = boundsOf(schema, 'minItems', 'maxItems');
  const { items, prefixItems } = schema;
  if (Array.isArray(prefixItems)) return ANY_JSON;
  if (schema.uniqueItems === true && isObject(items)) {
    const options = optionsOf(merged(items, root));
    if (options !== null) return { kind: 'several', options };
  }
  return { kind: 'list', item: () => shapeOf(items ?? {}, root, []), count };
}

function objectOf(schema: Schema, root: Schema, within: Within): ObjectShape {
  const required = new Set(strings(schema.required));
  const properties = isObject(schema.properties) ? schema.properties : {};
  const fields = Object.entries(properties).map(([name, inner]) => fieldOf(name, inner, required.has(name), root, within));
  const { additionalProperties: others, patternProperties: patterns } = schema;
  const more = isObject(others) ? others : isObject(patterns) ? Object.values(patterns)[0] : undefined;
  const free = more === undefined && fields.length === 0 && others !== false;
  return { kind: 'object', fields, extra: more === undefined && !free ? null : () => shapeOf(more ?? {}, root, []) };
}

function fieldOf(name: string, given: unknown, required: boolean, root: Schema, within: Within): Field {
  const schema = isObject(given) ? merged(given, root) : {};
  return {
    name,
    label: typeof schema.title === 'string' && schema.title !== '' ? schema.title : name,
    description: typeof schema.description === 'string' ? schema.description : '',
    required,
    fallback: schema.default ?? undefined,
    shape: shapeOf(given, root, within),
  };
}

/**
 * The schema with all that holds besides it put in: what it refers to, `allOf`, and what may hold under a condition
 * (which is then optional). Its own words come first.
 */
function merged(schema: Schema, root: Schema, depth = 0): Schema {
  const { $ref, allOf, if: condition, then, else: otherwise, dependentSchemas, ...own } = schema;
  if (depth > DEEPEST) return own;
  const certain = [target(schema, root), ...(Array.isArray(allOf) ? allOf : [])];
  const possible = [
    ...(condition !== undefined ? [then, otherwise] : []),
    ...(isObject(dependentSchemas) ? Object.values(dependentSchemas) : []),
  ];
  let result: Schema = own;
  for (const part of certain) if (isObject(part)) result = joined(result, merged(part, root, depth + 1));
  for (const part of possible) {
    if (!isObject(part)) continue;
    const { required, ...rest } = merged(part, root, depth + 1);
    result = joined(result, isObject(rest.properties) ? { properties: rest.properties } : {});
  }
  return result;
}

function joined(first: Schema, second: Schema): Schema {
  const both: Schema = { ...second, ...first };
  if (isObject(first.properties) && isObject(second.properties)) {
    both.properties = { ...second.properties, ...first.properties };
    // The order in which the schema names them is the order of the form.
    both.properties = { ...first.properties, ...(both.properties as Schema) };
  }
  const required = [...strings(first.required), ...strings(second.required)];
  if (required.length > 0) both.required = required;
  return both;
}

/** What `$ref` points to within the same schema, or undefined. */
function target(schema: Schema, root: Schema): Schema | undefined {
  const { $ref } = schema;
  if (typeof $ref !== 'string' || !$ref.startsWith('#')) return undefined;
  let found: unknown = root;
  for (const part of $ref.slice(1).split('/').slice(1)) {
    const name = decoded(part).replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(found)) found = found[Number(name)];
    else if (isObject(found) && Object.hasOwn(found, name)) found = found[name];
    else return undefined;
  }
  return isObject(found) ? found : undefined;
}

/** The values to choose from where these are all there are, else null. */
function optionsOf(schema: Schema): Option[] | null {
  if (Array.isArray(schema.enum)) return schema.enum.filter((value) => value !== null).map(asOption);
  for (const word of ['oneOf', 'anyOf']) {
    const branches = schema[word];
    if (!Array.isArray(branches) || branches.length === 0) continue;
    if (branches.every((branch) => isObject(branch) && 'const' in branch)) {
      return (branches as Schema[]).filter((branch) => branch.const !== null).map(asConstant);
    }
  }
  return null;
}

function asConstant(schema: Schema): Option {
  return { value: schema.const, label: typeof schema.title === 'string' ? schema.title : shown(schema.const) };
}

/** The shapes that `oneOf` or `anyOf` lets a value have; null where they only restrict what is told already. */
function variantsOf(schema: Schema, root: Schema, within: Within): Shape | null {
  const { oneOf, anyOf, ...base } = schema;
  const branches = (Array.isArray(oneOf) ? oneOf : Array.isArray(anyOf) ? anyOf : []).filter(isObject);
  const telling = branches
    .map((branch) => joined(merged(branch, root), base))
    .filter((branch) => !same(typesOf(branch), ['null']));
  const restricting = branches.every((branch) => {
    const whole = merged(branch, root);
    return !('type' in whole) && !('properties' in whole) && !('enum' in whole) && !('const' in whole);
  });
  if (telling.length === 0 || restricting) return null;
  const [only] = telling;
  if (telling.length === 1 && only !== undefined) return shapeOf(only, root, within);
  const variants = telling.map((branch, at): Variant => {
    const [type = ''] = typesOf(branch);
    const title = branches[at] === undefined ? undefined : merged(branches[at], root).title;
    const label = typeof title === 'string' ? title : type !== 'object' && type !== '' ? `type.${type}` : `#${at + 1}`;
    return { label, shape: shapeOf(branch, root, within), fits: (value) => fitOf(value, branch, root) };
  });
  return { kind: 'choice', variants };
}

/** How well a value fits a branch: constants count most, then how many of its properties there are. */
function fitOf(value: unknown, branch: Schema, root: Schema): number {
  const types = typesOf(branch);
  if (types.length > 0 && !types.some((type) => hasType(value, type))) return 0;
  if (!isObject(value)) return 1;
  let fit = 1;
  for (const [name, given] of Object.entries(isObject(branch.properties) ? branch.properties : {})) {
    const options = isObject(given) ? constantsOf(merged(given, root)) : null;
    if (options !== null && Object.hasOwn(value, name)) {
      if (!options.some((option) => same(option, value[name]))) return 0;
      fit += 100;
    } else if (Object.hasOwn(value, name)) fit += 2;
    else if (strings(branch.required).includes(name)) fit -= 0.5;
  }
  return Math.max(fit, 0.1);
}

function constantsOf(schema: Schema): unknown[] | null {
  if ('const' in schema) return [schema.const];
  return Array.isArray(schema.enum) ? schema.enum : null;
}

function typesOf(schema: Schema): string[] {
  const given = Array.isArray(schema.type) ? schema.type : [schema.type];
  const types = given.filter((type): type is string => typeof type === 'string');
  if (types.length > 0) {
    const real = types.filter((type) => type !== 'null');
    // A whole number is a number.
    const wide = real.includes('number') ? real.filter((type) => type !== 'integer') : real;
    return wide.length > 0 ? wide : types;
  }
  if ('properties' in schema || isObject(schema.additionalProperties)) return ['object'];
  return 'items' in schema ? ['array'] : [];
}

function hasType(value: unknown, type: string): boolean {
  switch (type) {
    case 'integer':
      return Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    default:
      return typeof value === type;
  }
}

function rangeOf(schema: Schema): Bounds {
  const range = boundsOf(schema, 'minimum', 'maximum');
  const above = boundsOf(schema, 'exclusiveMinimum', 'exclusiveMaximum');
  const step = typesOf(schema)[0] === 'integer' ? 1 : 0;
  return {
    least: range.least ?? (above.least !== null && step === 1 ? above.least + 1 : null),
    most: range.most ?? (above.most !== null && step === 1 ? above.most - 1 : null),
  };
}

function boundsOf(schema: Schema, low: string, high: string): Bounds {
  const number = (value: unknown): number | null => (typeof value === 'number' ? value : null);
  return { least: number(schema[low]), most: number(schema[high]) };
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
