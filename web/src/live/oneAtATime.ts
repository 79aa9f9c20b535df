/**
 * Has something done whenever it is asked for, but never twice at a time: however often it is asked for meanwhile, it
 * is done once more afterwards. A storm of events then costs as much as the server can answer, not a request each.
 *
 * @param action must not reject
 */
export function oneAtATime(action: () => Promise<void>): () => void {
  let busy = false;
  let again = false;
  return () => {
    again = true;
    if (busy) return;
    busy = true;
    void (async () => {
      while (again) {
        again = false;
        await action();
      }
      busy = false;
    })();
  };
}
