/** Texts with places for values: `{name}` takes a value, `{n|one|many}` a form by its number. */

export type Params = Record<string, string | number>;

const SLOT = /\{(\w+)(?:\|([^|{}]*)\|([^|{}]*))?\}/g;

/** The text with its values put in. A value that is not given stays visible as its slot. */
export function fill(text: string, params: Params = {}): string {
  return text.replace(SLOT, (slot, name: string, one?: string, many?: string) => {
    const value = params[name];
    if (value === undefined) return slot;
    if (one === undefined || many === undefined) return String(value);
    return Number(value) === 1 ? one : many;
  });
}
