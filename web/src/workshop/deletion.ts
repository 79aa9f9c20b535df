import type { Identity, SourceApi } from '../editor/sources';

/** A deletion is told of a moment before it is recorded; one by hand, in the file system, is never recorded. */
const LOOKS_AFTER_MS = [0, 250, 1_000, 3_000];

/**
 * Looks for the change that deleted a plugin.
 *
 * @param found told of its id, once
 * @returns what ends the looking
 */
export function findDeletion(sources: SourceApi, of: Identity, found: (change: string) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const look = async (turn: number): Promise<void> => {
    const newest = await sources.newestChange(of).catch(() => null);
    if (ended) return;
    if (newest?.kind === 'delete') found(newest.id);
    else plan(turn + 1);
  };
  const plan = (turn: number): void => {
    const wait = LOOKS_AFTER_MS[turn];
    if (wait !== undefined) timer = setTimeout(() => void look(turn), wait);
  };
  plan(0);
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}
