/** What becomes of an open text when the file is found changed. Pure. */

import type { Source } from './sources';

export type Found =
  /** The file is as it was when the text was opened or saved. */
  | 'same'
  /** Somebody has written what is in the editor already. */
  | 'agreed'
  /** Nothing of the reader's is lost by showing the file as it is now. */
  | 'follow'
  /** Both have changed. */
  | 'conflict';

/**
 * @param base the file as the text was made from it
 * @param text what is in the editor
 * @param disk the file now
 */
export function whatToDo(base: Source, text: string, disk: Source): Found {
  if (disk.sha256 === base.sha256) return 'same';
  if (disk.text === text) return 'agreed';
  return text === base.text ? 'follow' : 'conflict';
}

/** The smallest single replacement that makes one text into the other, so that cursor and folds keep their places. */
export function replacement(before: string, after: string): { from: number; to: number; insert: string } {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  return { from: start, to: before.length - end, insert: after.slice(start, after.length - end) };
}

/** A text with the line ends that the editor works with, and those that it came with. */
export function withPlainEnds(text: string): { text: string; crlf: boolean } {
  const crlf = text.includes('\r\n');
  return { text: text.replaceAll(/\r\n?/g, '\n'), crlf };
}
