/** The places of a form, named as the server names them, and what can be seen of the values there. */

import type { AnyDraft, ChoiceDraft, Draft, ObjectDraft } from './draft.svelte';
import { isObject, same } from './field';

/** What can be seen to be wrong without asking the server. */
export type Flaw = 'json' | 'name.empty' | 'name.twice';

export function within(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

/** Every place of the form with its draft, outermost first; paths are the server's: `servers[0].host`. */
export function* places(draft: Draft, path = ''): Generator<[path: string, draft: Draft]> {
  yield [path, draft];
  if (draft.kind === 'object') {
    for (const { field, draft: inner } of draft.members) yield* places(inner, within(path, field.name));
    for (const { name, draft: inner } of draft.extras) yield* places(inner, within(path, name));
  } else if (draft.kind === 'list') {
    const items = draft.sent();
    for (const [at, item] of items.entries()) yield* places(item.draft, `${path}[${at}]`);
  } else if (draft.kind === 'choice' && draft.draft !== null) {
    // The variant stands at the same place.
    const [, ...inner] = places(draft.draft, path);
    yield* inner;
    if (draft.draft.kind === 'any') yield [path, draft.draft];
  }
}

/** What can be seen to be wrong in a form, by place. */
export function flawsOf(root: Draft): Map<string, Flaw> {
  const flaws = new Map<string, Flaw>();
  for (const [path, draft] of places(root)) {
    if (draft.kind === 'any' && draft.flawed) flaws.set(path, 'json');
    if (draft.kind !== 'object') continue;
    const names = new Set<string>(draft.members.map(({ field }) => field.name));
    for (const { name } of draft.extras) {
      if (name === '') flaws.set(within(path, name), 'name.empty');
      else if (names.has(name)) flaws.set(within(path, name), 'name.twice');
      names.add(name);
    }
  }
  return flaws;
}

/** What to store: values that are the default anyway are left out, so that they follow it when it changes. */
export function withoutDefaults(root: ObjectDraft | ChoiceDraft | AnyDraft, value: unknown): unknown {
  if (root.kind !== 'object' || !isObject(value)) return value;
  const fallbacks = new Map(root.shape.fields.map((field) => [field.name, field.fallback]));
  return Object.fromEntries(
    Object.entries(value).filter(([name, one]) => !(fallbacks.get(name) !== undefined && same(fallbacks.get(name), one))),
  );
}
