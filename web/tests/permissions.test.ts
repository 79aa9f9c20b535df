import { expect, test } from 'vitest';
import { lackingOf, partOf, piecesOf } from '../src/permissions/permissions';

const permissions = (asked: object, granted: object, lacking: object = {}) => ({
  asked: { ...asked },
  granted: { ...granted },
  lacking: { ...lacking },
});

test('each port and each folder is a piece of its own', () => {
  const asked = { network: [80, 443], read: ['/a'], write: ['/b'] };
  expect(piecesOf(permissions(asked, { network: [443], write: ['/a'] }))).toEqual([
    { kind: 'network', what: '80', granted: false },
    { kind: 'network', what: '443', granted: true },
    { kind: 'read', what: '/a', granted: true },
    { kind: 'write', what: '/b', granted: false },
  ]);
  expect(piecesOf(permissions({ network: false }, { network: true }))).toEqual([]);
  expect(piecesOf(permissions({}, {}))).toEqual([{ kind: 'network', what: null, granted: true }]);
});

test('what is ticked is sent, and nothing else', () => {
  const pieces = piecesOf(permissions({ network: [80, 443], read: ['/a', '/b'] }, { network: true }));
  const ticked = pieces.map((piece) => ({ ...piece, granted: piece.what === '443' || piece.what === '/b' }));
  expect(partOf(ticked, { network: true })).toEqual({ network: [443], read: ['/b'], write: [] });
  const none = pieces.map((piece) => ({ ...piece, granted: false }));
  expect(partOf(none, { network: true })).toEqual({ network: false, read: [], write: [] });
});

test('a network that is kept to some ports lacks the rest, and stays so', () => {
  const kept = permissions({ network: true }, { network: [443] }, { network: true });
  expect(lackingOf(kept).map(({ kind }) => kind)).toEqual(['network']);
  expect(partOf(piecesOf(kept), kept.granted).network).toEqual([443]);
});

test('what somebody wrote by hand is no reason to fail', () => {
  const odd = permissions({ network: true, read: ['/a'] }, { network: 'yes', read: 7, write: [null] }, { read: ['/a'] });
  expect(lackingOf(odd)).toEqual([
    { kind: 'network', what: null, granted: false },
    { kind: 'read', what: '/a', granted: false },
  ]);
});
