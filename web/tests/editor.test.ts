import { beforeEach, describe, expect, it } from 'vitest';
import { Drafts } from '../src/editor/drafts';
import { replacement, whatToDo, withPlainEnds } from '../src/editor/merging';
import { cardOf } from '../src/editor/resultCards';
import { mainFileOf } from '../src/editor/sources';
import { lastPlace, piecesOf } from '../src/editor/traceback';
import { Memory } from './memory';

describe('drafts', () => {
  let memory: Memory;
  let drafts: Drafts;
  const draft = (text: string, second = 0) => ({
    text,
    base: 'b',
    at: `2026-11-28T10:00:${String(second).padStart(2, '0')}.000Z`,
  });

  beforeEach(() => {
    memory = new Memory();
    drafts = new Drafts(memory);
  });

  it('are there again, each with its plugin', () => {
    expect(drafts.write('search/demo', 'a.py', draft('one'))).toBe(true);
    drafts.write('search/demo2', 'a.py', draft('two'));
    expect(drafts.read('search/demo', 'a.py')).toEqual(draft('one'));
    expect([...drafts.of('search/demo').keys()]).toEqual(['a.py']);
    drafts.remove('search/demo', 'a.py');
    expect(drafts.read('search/demo', 'a.py')).toBeNull();
    expect(drafts.of('search/demo2').size).toBe(1);
  });

  it('are bounded by number: the oldest go', () => {
    for (let second = 0; second < 40; second += 1) drafts.write('search/demo', `${second}.py`, draft('x', second));
    expect(memory.length).toBe(24);
    expect(drafts.read('search/demo', '0.py')).toBeNull();
    expect(drafts.read('search/demo', '39.py')).not.toBeNull();
  });

  it('are bounded by size: the oldest go, and what is too large is not kept', () => {
    drafts.write('search/demo', 'old.py', draft('x'.repeat(800_000), 1));
    drafts.write('search/demo', 'new.py', draft('y'.repeat(800_000), 2));
    expect(drafts.read('search/demo', 'old.py')).toBeNull();
    expect(drafts.read('search/demo', 'new.py')).not.toBeNull();
    expect(drafts.write('search/demo', 'huge.py', draft('z'.repeat(2_000_000), 3))).toBe(false);
    expect(drafts.read('search/demo', 'new.py')).not.toBeNull();
  });

  it('say so when the browser keeps nothing', () => {
    memory.full = true;
    expect(drafts.write('search/demo', 'a.py', draft('one'))).toBe(false);
    expect(new Drafts(null).write('search/demo', 'a.py', draft('one'))).toBe(false);
    expect(new Drafts(null).of('search/demo').size).toBe(0);
  });

  it('leave alone what is not theirs, and take nothing that is broken', () => {
    memory.setItem('plugbay.theme', 'dark');
    memory.setItem('plugbay.draft:search/demo:a.py', '{"text": 3}');
    memory.setItem('plugbay.draft:search/demo:b.py', 'no json');
    expect(drafts.read('search/demo', 'a.py')).toBeNull();
    expect(drafts.of('search/demo').size).toBe(0);
    expect(memory.getItem('plugbay.theme')).toBe('dark');
  });
});

describe('a file that was looked at', () => {
  const base = { text: 'base', sha256: '1' };

  it.each([
    ['same', 'base', { text: 'base', sha256: '1' }],
    ['same', 'mine', { text: 'base', sha256: '1' }],
    ['follow', 'base', { text: 'theirs', sha256: '2' }],
    ['agreed', 'mine', { text: 'mine', sha256: '2' }],
    ['conflict', 'mine', { text: 'theirs', sha256: '2' }],
  ] as const)('is %s for %j and %j', (found, text, disk) => {
    expect(whatToDo(base, text, disk)).toBe(found);
  });
});

describe('a replacement', () => {
  it.each([
    ['abc', 'abc'],
    ['', 'abc'],
    ['abc', ''],
    ['aXc', 'aYYc'],
    ['aa', 'aaa'],
    ['aaa', 'aa'],
    ['one\ntwo\nthree', 'one\nthree'],
  ])('makes %j into %j', (before, after) => {
    const { from, to, insert } = replacement(before, after);
    expect(before.slice(0, from) + insert + before.slice(to)).toBe(after);
  });

  it('touches nothing else', () => {
    expect(replacement('one\ntwo\nthree', 'one\nTWO\nthree')).toEqual({ from: 4, to: 7, insert: 'TWO' });
  });
});

describe('line ends', () => {
  it('are plain in the editor and known', () => {
    expect(withPlainEnds('a\r\nb\r\n')).toEqual({ text: 'a\nb\n', crlf: true });
    expect(withPlainEnds('a\nb')).toEqual({ text: 'a\nb', crlf: false });
  });
});

describe('a traceback', () => {
  const own = 'plugins/search/demo_plugin.py';
  const text = `Traceback\n  File "${own}", line 13, in search\n    x\n  File "/usr/lib/json.py", line 2, in loads\nValueError`;

  it('is taken apart where it names files that can be opened', () => {
    const pieces = piecesOf(text, [own]);
    expect(pieces.map((piece) => piece.text).join('')).toBe(text);
    expect(pieces.filter(({ place }) => place !== null)).toEqual([
      { text: `File "${own}", line 13`, place: { file: own, line: 13 } },
    ]);
  });

  it('ends for the reader in the own file', () => {
    expect(lastPlace(text, [own])).toEqual({ file: own, line: 13 });
    expect(lastPlace(text, ['other.py'])).toBeNull();
  });
});

describe('a result', () => {
  it('is shown whatever it is', () => {
    expect(cardOf('word').title).toBe('word');
    expect(cardOf(null).title).toBe('—');
    expect(cardOf({ name: 'one', url: 'https://x/', size: 3, more: { a: 1 }, empty: {}, none: null })).toEqual({
      title: 'one',
      url: 'https://x/',
      description: '',
      facts: [
        ['size', '3'],
        ['more', '{"a":1}'],
      ],
    });
    expect(cardOf({ title: { a: 1 }, url: ['x'] }).title).toBe('—');
    expect(cardOf({ title: 'x', note: 'y'.repeat(500) }).facts[0]?.[1].length).toBe(201);
  });
});

describe('the file of a plugin', () => {
  it('is the package’s own module where it is a package', () => {
    expect(mainFileOf({ file: 'plugins/search/a_plugin.py' })).toBe('plugins/search/a_plugin.py');
    expect(mainFileOf({ file: 'plugins/search/a_plugin' })).toBe('plugins/search/a_plugin/__init__.py');
  });
});
