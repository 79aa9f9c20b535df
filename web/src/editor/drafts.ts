/** Texts that are not saved yet, kept in the browser: nothing is lost by a reload, a crash or a server that is gone. */

export interface Draft {
  text: string;
  /** The hash of the content that it was made from; empty for a file that is not there yet. */
  base: string;
  /** When it was last written to, ISO 8601. */
  at: string;
}

const PREFIX = 'plugbay.draft:';
/** Browsers give a page some 5 MB, for everything. */
const MOST = 24;
const MOST_CHARACTERS = 1_500_000;

export class Drafts {
  /** @param storage null where the browser allows none; drafts then last as long as the page */
  constructor(private readonly storage: Storage | null) {}

  read(owner: string, path: string): Draft | null {
    return parsed(this.storage?.getItem(keyOf(owner, path)) ?? null);
  }

  /** @returns whether it is kept */
  write(owner: string, path: string, draft: Draft): boolean {
    if (this.storage === null || draft.text.length > MOST_CHARACTERS) return false;
    const key = keyOf(owner, path);
    try {
      this.makeRoom(key, draft.text.length);
      this.storage.setItem(key, JSON.stringify(draft));
      return true;
    } catch {
      return false;
    }
  }

  remove(owner: string, path: string): void {
    this.storage?.removeItem(keyOf(owner, path));
  }

  /** The drafts of one owner by their paths. */
  of(owner: string): Map<string, Draft> {
    const start = keyOf(owner, '');
    const found = this.all().filter(({ key }) => key.startsWith(start));
    return new Map(found.map(({ key, draft }) => [key.slice(start.length), draft]));
  }

  /** Oldest first. */
  private all(): { key: string; draft: Draft }[] {
    const { storage } = this;
    if (storage === null) return [];
    return Array.from({ length: storage.length }, (_, index) => storage.key(index))
      .filter((key): key is string => key?.startsWith(PREFIX) === true)
      .map((key) => ({ key, draft: parsed(storage.getItem(key)) }))
      .filter((entry): entry is { key: string; draft: Draft } => entry.draft !== null)
      .sort((a, b) => a.draft.at.localeCompare(b.draft.at));
  }

  /** The oldest go first. */
  private makeRoom(key: string, characters: number): void {
    const others = this.all().filter((entry) => entry.key !== key);
    let total = others.reduce((sum, { draft }) => sum + draft.text.length, characters);
    let count = others.length + 1;
    for (const { key: oldest, draft } of others) {
      if (count <= MOST && total <= MOST_CHARACTERS) return;
      this.storage?.removeItem(oldest);
      total -= draft.text.length;
      count -= 1;
    }
  }
}

function keyOf(owner: string, path: string): string {
  return `${PREFIX}${owner}:${path}`;
}

function parsed(stored: string | null): Draft | null {
  if (stored === null) return null;
  try {
    const { text, base, at } = JSON.parse(stored) as Record<string, unknown>;
    if (typeof text !== 'string' || typeof base !== 'string' || typeof at !== 'string') return null;
    return { text, base, at };
  } catch {
    return null;
  }
}

function browserStorage(): Storage | null {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

export const drafts = new Drafts(browserStorage());
