import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Memory } from './memory';

const memory = new Memory();
vi.stubGlobal('localStorage', memory);
// Which storage there is, is looked at once.
const { Buffer } = await import('../src/editor/buffer.svelte');

const BASE = { text: 'base\n', sha256: '1' };
const UNKNOWN = { cause: 'file', generation: null, at: null };

function open() {
  const buffer = new Buffer('search/demo', 'a.py', () => undefined);
  buffer.open(BASE);
  return buffer;
}

beforeEach(() => memory.clear());
afterAll(() => vi.unstubAllGlobals());

describe('the draft of a buffer', () => {
  it('is there again after a reload, and gone once it is saved', () => {
    const buffer = open();
    buffer.edited('mine\n');
    buffer.keep();
    const again = open();
    expect(again.text).toBe('mine\n');
    again.saved('mine\n', '2');
    expect(memory.length).toBe(0);
  });

  it('of another tab is left alone by one that has nothing to keep, or something else', () => {
    const [writing, looking, saving] = [open(), open(), open()];
    saving.edited('third\n');
    saving.keep();
    writing.edited('mine\n');
    writing.keep();
    looking.keep();
    saving.saved('third\n', '2');
    expect(open().text).toBe('mine\n');
  });
});

describe('a choice between two texts', () => {
  it.each([
    ['has become as it was', BASE],
    ['has become what was typed', { text: 'mine\n', sha256: '3' }],
  ])('is none any more when the file %s', (_, disk) => {
    const buffer = open();
    buffer.edited('mine\n');
    buffer.found({ text: 'theirs\n', sha256: '2' }, UNKNOWN);
    expect(buffer.theirs?.sha256).toBe('2');
    expect(buffer.outcome?.kind).toBe('conflict');
    buffer.found(disk, UNKNOWN);
    expect(buffer.theirs).toBeNull();
    expect(buffer.outcome).toBeNull();
  });
});
