/** What a plugin gave, made fit to be shown: whatever it put into a field, here it is a text. */

export interface ResultCard {
  title: string;
  url: string;
  description: string;
  /** Everything else that is short, by its name. */
  facts: [name: string, value: string][];
}

const FACTS_MAX = 8;
const FACT_MAX = 200;
const OWN_PLACE: ReadonlySet<string> = new Set(['title', 'name', 'url', 'description', 'plugin']);

export function cardOf(raw: unknown): ResultCard {
  const fields = typeof raw === 'object' && raw !== null ? (raw as Record<string, unknown>) : { title: raw };
  const url = short(fields.url);
  const facts = Object.entries(fields)
    .filter(([name]) => !OWN_PLACE.has(name))
    .map(([name, value]): [string, string] => [name, factOf(value)])
    .filter(([, value]) => value !== '')
    .slice(0, FACTS_MAX);
  return { title: short(fields.title) || short(fields.name) || url || '—', url, description: short(fields.description), facts };
}

function factOf(value: unknown): string {
  const text = typeof value === 'object' && value !== null ? JSON.stringify(value) : short(value);
  if (text === '{}' || text === '[]') return '';
  return text.length > FACT_MAX ? `${text.slice(0, FACT_MAX)}…` : text;
}

function short(value: unknown): string {
  return typeof value === 'string' ? value.trim() : typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}
