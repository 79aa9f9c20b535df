import { describe, expect, it } from 'vitest';
import { half } from '../src/ui/bilingual';

describe('a text in both languages', () => {
  it.each([
    ['搜索文件 · Searches files', '搜索文件', 'Searches files'],
    ['搜索 RSS · Atom 书目 · Searches RSS · Atom', '搜索 RSS · Atom 书目', 'Searches RSS · Atom'],
    ['Only English · with a dot', 'Only English · with a dot', 'Only English · with a dot'],
    ['只有中文 · 两段', '只有中文 · 两段', '只有中文 · 两段'],
    ['English · 中文 · rest', 'English · 中文 · rest', 'English · 中文 · rest'],
    ['超时（秒）· Timeout in seconds', '超时（秒）', 'Timeout in seconds'],
    ['https://example.org/a·b', 'https://example.org/a·b', 'https://example.org/a·b'],
    ['中文 ·', '中文 ·', '中文 ·'],
    ['', '', ''],
  ])('%j is %j and %j', (text, zh, en) => {
    expect(half(text, 'zh')).toBe(zh);
    expect(half(text, 'en')).toBe(en);
  });
});
