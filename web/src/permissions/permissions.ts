/** What a plugin asks for, piece by piece, and what granting some of it is for the server. Pure. */

import type { Plugin } from '../api/model';

export type Kind = 'network' | 'read' | 'write';

/** One thing that can be granted by itself: all of the network, one port, or one folder. */
export interface Piece {
  kind: Kind;
  /** The port or the folder; null for all of the network. */
  what: string | null;
  granted: boolean;
}

/** The part of what is asked for that is granted, as the server takes it. */
export interface Part {
  network: boolean | number[];
  read: string[];
  write: string[];
}

type Permissions = Plugin['permissions'];

/** All that a plugin asks for, in the order of its file. */
export function piecesOf({ asked, granted }: Permissions): Piece[] {
  const network = asked.network ?? true;
  const given = granted.network ?? true;
  const pieces: Piece[] = [];
  if (network === true) pieces.push({ kind: 'network', what: null, granted: given === true || portsOf(given).length > 0 });
  for (const port of portsOf(network)) {
    pieces.push({ kind: 'network', what: String(port), granted: given === true || portsOf(given).includes(port) });
  }
  const write = textsOf(granted.write);
  const read = [...textsOf(granted.read), ...write];
  for (const what of textsOf(asked.read)) pieces.push({ kind: 'read', what, granted: read.includes(what) });
  for (const what of textsOf(asked.write)) pieces.push({ kind: 'write', what, granted: write.includes(what) });
  return pieces;
}

/** What is not granted of it. Of a network that is kept to some ports, that is the network. */
export function lackingOf(permissions: Permissions): Piece[] {
  const { lacking } = permissions;
  return piecesOf(permissions).filter(({ kind, what, granted }) => !granted || (what === null && kind in lacking));
}

/**
 * What is sent to grant these pieces and no others.
 *
 * @param pieces all that the plugin asks for, with what it shall be granted of it
 * @param before what it was granted so far: a network that was kept to some ports stays so
 */
export function partOf(pieces: readonly Piece[], before: Permissions['granted']): Part {
  const wished = pieces.filter(({ granted }) => granted);
  const texts = (kind: Kind): string[] => wished.flatMap((one) => (one.kind === kind && one.what !== null ? [one.what] : []));
  const ports = texts('network').map(Number);
  const whole = wished.some(({ kind, what }) => kind === 'network' && what === null);
  const kept = portsOf(before.network);
  const network = whole ? (kept.length > 0 ? kept : true) : ports.length > 0 && ports;
  return { network, read: texts('read'), write: texts('write') };
}

function portsOf(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((one): one is number => typeof one === 'number') : [];
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}
