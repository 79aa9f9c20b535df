import { describe, expect, it } from 'vitest';
import { filteredLines, joinedLines, LINE_LIMIT, type LogLine, marked, writtenLines } from '../src/activity/logLines';

const line = (at: number, message = 'word', level = 'info'): LogLine => ({
  at: `2026-11-22T12:00:00.${String(at).padStart(6, '0')}Z`,
  level,
  generation: 2,
  message,
  plugin: 'search/demo',
});

describe('lines of a log', () => {
  it('are joined in order, and what was both asked for and told is there once', () => {
    const all = joinedLines([line(1), line(2)], [line(2), line(0), line(3)]);
    expect(all.map(({ at }) => at)).toEqual([line(0), line(1), line(2), line(3)].map(({ at }) => at));
  });

  it('are kept where they were written at one instant', () => {
    expect(joinedLines([line(1, 'a')], [line(1, 'b')])).toHaveLength(2);
  });

  it('are bounded, the newest kept', () => {
    const many = Array.from({ length: LINE_LIMIT + 3 }, (_, index) => line(index));
    expect(joinedLines(many.slice(0, 10), many.slice(10)).at(-1)).toEqual(many.at(-1));
    expect(joinedLines([], many)).toHaveLength(LINE_LIMIT);
  });

  it('are filtered by level and words; an unknown level counts as information', () => {
    const lines = [line(1, 'quiet', 'debug'), line(2, 'Loud', 'error'), line(3, 'new', 'notice')];
    expect(filteredLines(lines, { least: 'info', words: '' }).map(({ message }) => message)).toEqual(['Loud', 'new']);
    expect(filteredLines(lines, { least: 'debug', words: 'LOUD' })).toHaveLength(1);
    expect(filteredLines(lines, { least: 'debug', words: 'search/' })).toHaveLength(3);
  });

  it('are written as a text', () => {
    expect(writtenLines([line(1, 'two\nlines')])).toBe('2026-11-22T12:00:00.000001Z INFO search/demo #2 two\nlines\n');
  });
});

describe('what was looked for', () => {
  it('is marked wherever it stands', () => {
    expect(marked('abcABc', 'B')).toEqual([
      { text: 'a', hit: false },
      { text: 'b', hit: true },
      { text: 'cA', hit: false },
      { text: 'B', hit: true },
      { text: 'c', hit: false },
    ]);
    expect(marked('abc', ' ')).toEqual([{ text: 'abc', hit: false }]);
    expect(marked('', 'x')).toEqual([{ text: '', hit: false }]);
  });
});
