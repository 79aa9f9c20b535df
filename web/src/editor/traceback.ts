/** A traceback, taken apart where it names a line of a file. */

export interface Piece {
  text: string;
  /** Where the piece names a place. */
  place: Place | null;
}

export interface Place {
  file: string;
  line: number;
}

const PLACE = /File "([^"\n]+)", line (\d+)/g;

/**
 * @param files the paths that can be opened; other places stay text
 */
export function piecesOf(traceback: string, files: readonly string[]): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const match of traceback.matchAll(PLACE)) {
    const [text, file = '', line] = match;
    if (!files.includes(file)) continue;
    if (match.index > end) pieces.push({ text: traceback.slice(end, match.index), place: null });
    pieces.push({ text, place: { file, line: Number(line) } });
    end = match.index + text.length;
  }
  if (end < traceback.length) pieces.push({ text: traceback.slice(end), place: null });
  return pieces;
}

/** The last place in a traceback that is in one of `files`: where the reader's own code went wrong. */
export function lastPlace(traceback: string, files: readonly string[]): Place | null {
  return piecesOf(traceback, files).findLast(({ place }) => place !== null)?.place ?? null;
}
