import { describe, expect, it } from 'vitest';
import { hashOf, routeOf } from '../src/lib/route';

describe('the route', () => {
  it.each([
    ['', 'plugins', null],
    ['#', 'plugins', null],
    ['#/plugins', 'plugins', null],
    ['#/search', 'search', null],
    ['#/search/4f2a', 'search', '4f2a'],
    ['#/search/../../x', 'search', null],
    ['#/search/%2e%2e', 'search', null],
    ['#/downloads', 'downloads', null],
    ['#/downloads/4f2a', 'downloads', null],
    ['#content', 'plugins', null],
    ['#/constructor', 'plugins', null],
  ] as const)('of %j is %s, %s', (hash, view, task) => {
    expect(routeOf(hash)).toEqual({ view, task });
  });

  it('leads back', () => {
    for (const hash of ['#/plugins', '#/search', '#/search/4f2a', '#/downloads']) {
      expect(hashOf(routeOf(hash))).toBe(hash);
    }
  });
});
