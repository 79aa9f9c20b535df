import { describe, expect, it } from 'vitest';
import { hashOf, routeOf } from '../src/shell/route';

describe('the route', () => {
  it.each([
    ['', 'plugins', [], {}],
    ['#', 'plugins', [], {}],
    ['#/plugins', 'plugins', [], {}],
    ['#/search/4f2a', 'search', ['4f2a'], {}],
    ['#/plugins/search/%E7%A4%BA%E4%BE%8B/code?line=12&file=a%2Fb.py', 'plugins', ['search', '示例', 'code'], { line: '12', file: 'a/b.py' }],
    ['#/plugins/new?type=search', 'plugins', ['new'], { type: 'search' }],
    ['#/search/%', 'search', ['%'], {}],
    ['#/downloads', 'downloads', [], {}],
    ['#content', 'plugins', [], {}],
    ['#/constructor', 'plugins', [], {}],
  ] as const)('of %j is %s, %j, %j', (hash, view, path, query) => {
    expect(routeOf(hash)).toEqual({ view, path, query });
  });

  it('leads back', () => {
    for (const [path, query] of [
      [[], {}],
      [['search', '../x?y#z', 'code'], { file: 'plugins/search/帮助.py', line: '3' }],
    ] as const) {
      expect(routeOf(hashOf('plugins', path, query))).toEqual({ view: 'plugins', path, query });
    }
  });
});
