const FIRST_MS = 300;
const LONGEST_MS = 15_000;

/**
 * How long to wait before the next try, in milliseconds.
 *
 * Half of it is chance, so that the clients of a server that was restarted do not all come back at once.
 *
 * @param attempt 0 for the first try after a connection was lost
 * @param random a number from 0 to 1
 */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(ceiling * (0.5 + random / 2));
}
