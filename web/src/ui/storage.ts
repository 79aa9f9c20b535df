/** What the browser keeps. It may forbid that; a choice then lasts as long as the page. */

const LOCAL = (): Storage => localStorage;

/** @param storage brings it, which may throw */
export function kept(key: string, storage: () => Storage = LOCAL): string | null {
  try {
    return storage().getItem(key);
  } catch {
    return null;
  }
}

/** @param storage brings it, which may throw */
export function keep(key: string, value: string, storage: () => Storage = LOCAL): void {
  try {
    storage().setItem(key, value);
  } catch {
    return;
  }
}
