import { describe, expect, it } from 'vitest';
import { formatBytes, formatLength, formatSpan, formatSpeed } from '../src/ui/amounts';

describe('amounts', () => {
  it.each([
    [0, '0 B'],
    [-5, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [104_857_600, '100 MiB'],
    [1_048_575, '1.0 MiB'],
    [1_073_741_824, '1.0 GiB'],
    [2 ** 60, '1024 PiB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('a speed is so much a second', () => {
    expect(formatSpeed(1_572_864)).toBe('1.5 MiB/s');
  });

  it.each([
    [0, '0 s', '0 秒'],
    [59.6, '1 min', '1 分'],
    [200, '3 min 20 s', '3 分 20 秒'],
    [7500, '2 h 5 min', '2 小时 5 分'],
    [3600, '1 h', '1 小时'],
    [349_200, '4 d 1 h', '4 天 1 小时'],
  ])('%d seconds are %s, %s', (seconds, en, zh) => {
    expect(formatSpan(seconds, 'en')).toBe(en);
    expect(formatSpan(seconds, 'zh')).toBe(zh);
  });

  it.each([
    [5025, '1:23:45'],
    [65, '1:05'],
    [0, ''],
    [Number.NaN, ''],
    [' 45 min ', '45 min'],
    [null, ''],
    [{}, ''],
  ])('the length %j is %j', (duration, text) => {
    expect(formatLength(duration)).toBe(text);
  });
});
