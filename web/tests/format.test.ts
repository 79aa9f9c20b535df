import { describe, expect, it } from 'vitest';
import { backoffMs } from '../src/live/backoff';
import { formatClock, formatMs, formatRelative, listed } from '../src/ui/format';
import { guessType, guessTypeOfUrl, isInstallUrl } from '../src/plugins/guess';
import { errorMessage, errorPlace } from '../src/api/model';
import { loadError } from './sample';

describe('durations', () => {
  it.each([
    [0, '0.01 ms'],
    [0.62, '0.62 ms'],
    [0.97, '1.0 ms'],
    [4.12, '4.1 ms'],
    [9.97, '10 ms'],
    [152.3, '152 ms'],
    [999.7, '1.0 s'],
    [3210, '3.2 s'],
    [59_999, '1 min 0 s'],
    [125_000, '2 min 5 s'],
  ])('%d ms reads %s', (ms, expected) => {
    expect(formatMs(ms)).toBe(expected);
  });
});

describe('times', () => {
  const at = '2026-11-22T12:00:00Z';
  const later = (seconds: number): number => Date.parse(at) + seconds * 1000;

  it.each([
    [-30, 'just now'],
    [1, 'just now'],
    [12, '12 sec ago'],
    [61, '1 min ago'],
    [7200, '2 hr ago'],
    [90_000, 'yesterday|1 day ago'],
  ])('%d s later', (seconds, expected) => {
    expect(formatRelative(at, later(seconds), 'en')).toMatch(new RegExp(`^(${expected})$`));
  });

  it('are Chinese in Chinese', () => {
    expect(formatRelative(at, later(1), 'zh')).toBe('刚刚');
    expect(formatRelative(at, later(180), 'zh')).toBe('3 分钟前');
  });

  it('join names as the language does', () => {
    expect(listed(['a', 'b'], 'zh')).toBe('a、b');
    expect(listed(['a', 'b'], 'en')).toBe('a, b');
  });

  it('leave alone what is no time', () => {
    expect(formatRelative('soon', 0, 'en')).toBe('soon');
    expect(formatClock('soon')).toBe('soon');
  });

  it('have milliseconds on the clock', () => {
    expect(formatClock('2026-11-22T12:00:00.045Z')).toMatch(/^\d\d:\d\d:00\.045$/);
  });
});

describe('the type of a plugin', () => {
  it.each([
    ['class Demo(SearchPlugin):\n    pass', 'search'],
    ['import sdk\n\nclass Demo(sdk.DownloadPlugin, Mixin):\n    pass', 'download'],
    ['class Helper:\n    pass\n\nclass Demo(\n    Mixin,\n    ParserPlugin,\n):\n    pass', 'parser'],
    ['# class Demo(SearchPlugin)', null],
    ['class Demo(MySearchPlugin):\n    pass', null],
    ['', null],
  ])('is judged by its class: %j', (source, expected) => {
    expect(guessType(source)).toBe(expected);
  });

  it('takes no time on a hostile file', () => {
    const started = performance.now();
    guessType(`class A(${'('.repeat(200_000)}\n`.repeat(3));
    guessType('class '.repeat(100_000));
    expect(performance.now() - started).toBeLessThan(500);
  });

  it.each([
    ['https://example.com/plugins/search/demo_plugin.py', 'search'],
    ['https://example.com/my_parser_plugin.py', 'parser'],
    ['https://research.example.com/demo_plugin.py', null],
  ])('is suggested by its address: %s', (url, expected) => {
    expect(guessTypeOfUrl(url)).toBe(expected);
  });

  it.each([
    ['https://example.com/a.py', true],
    [' http://127.0.0.1:9/a.py ', true],
    ['ftp://example.com/a.py', false],
    ['javascript:alert(1)', false],
    ['example.com/a.py', false],
    ['', false],
  ])('%j can be installed from: %s', (url, expected) => {
    expect(isInstallUrl(url)).toBe(expected);
  });
});

describe('waiting before the next try', () => {
  it('doubles, has a ceiling, and is half chance', () => {
    expect(backoffMs(0, 0)).toBe(150);
    expect(backoffMs(0, 1)).toBe(300);
    expect(backoffMs(3, 1)).toBe(2400);
    expect(backoffMs(1000, 1)).toBe(15_000);
  });
});

describe('a load error', () => {
  it('is told in the language of the reader', () => {
    expect(errorMessage(loadError(), 'en')).toBe('it went wrong');
    const { messages: _, ...plain } = loadError();
    expect(errorMessage(plain, 'en')).toBe('出错了');
  });

  it('has a place as far as it is known', () => {
    expect(errorPlace(loadError())).toBe('plugins/search/demo_plugin.py:3:5');
    expect(errorPlace(loadError({ column: null }))).toBe('plugins/search/demo_plugin.py:3');
    expect(errorPlace(loadError({ file: null, line: null, column: null }))).toBe('');
  });
});
