import { describe, expect, it } from 'vitest';
import { arranged, facetsOf, NO_FILTER, type Filter, type Sort } from '../src/search/arrange';
import { secondsOf } from '../src/search/durations';
import { asFound } from '../src/search/found';

const PICTURE = 'data:image/png;base64,iVBORw0KGgo=';

describe('what a plugin found', () => {
  it('is shown as it is', () => {
    const found = asFound(
      {
        plugin: 'demo',
        title: ' 斗罗大陆 ',
        url: 'https://example.com/1',
        thumbnail: PICTURE,
        duration: 5025,
        platform: 'example',
        description: 'words',
        metadata: {
          path: '/films/1.mkv',
          episodes: [
            {
              title: '第1集',
              source: 'line 1',
              play_url: 'https://example.com/1.m3u8',
              parsed_urls: [{ plugin: 'm3u8', name: '1080p', url: 'https://example.com/hd.m3u8', bandwidth: 1 }],
            },
          ],
        },
      },
      3,
    );
    expect(found).toEqual({
      key: 3,
      plugin: 'demo',
      title: '斗罗大陆',
      url: 'https://example.com/1',
      thumbnail: PICTURE,
      duration: '1:23:45',
      seconds: 5025,
      platform: 'example',
      path: '/films/1.mkv',
      description: 'words',
      extras: [],
      addresses: [],
      episodes: [
        {
          title: '第1集',
          source: 'line 1',
          url: 'https://example.com/1.m3u8',
          parsed: [{ plugin: 'm3u8', name: '1080p', url: 'https://example.com/hd.m3u8' }],
        },
      ],
    });
  });

  it.each([
    null,
    7,
    'text',
    [],
    {},
    { title: {}, url: [], metadata: [] },
    { metadata: { episodes: 'none', downloads: {} } },
    { metadata: { episodes: [null, 1, { play_url: 5, parsed_urls: [null, { url: {} }] }], enclosures: [3] } },
  ])('may be anything: %j', (raw) => {
    const found = asFound(raw, 0);
    for (const value of [found.title, found.url, found.thumbnail, found.duration, found.platform]) {
      expect(typeof value).toBe('string');
    }
    for (const { title, url } of found.episodes) expect([typeof title, typeof url]).toEqual(['string', 'string']);
  });

  it.each([
    ['/api/plugins'],
    ['javascript:alert(1)'],
    ['http:///x'],
    [`https://example.com/${'a'.repeat(8_000)}`],
    ['data:image/svg+xml;base64,PHN2Zz4='],
    ['data:text/html;base64,PGI+'],
    [`data:image/png;base64,${'A'.repeat(400_000)}`],
  ])('has no picture that the page may not show: %.40s', (thumbnail) => {
    expect(asFound({ thumbnail }, 0).thumbnail).toBe('');
  });

  it.each([
    ['https://example.com/x.jpg?a=1&b=2', 'https%3A%2F%2Fexample.com%2Fx.jpg%3Fa%3D1%26b%3D2'],
    ['//example.com/x.jpg', 'https%3A%2F%2Fexample.com%2Fx.jpg'],
  ])('has its picture from the page’s own server: %s', (thumbnail, asked) => {
    expect(asFound({ thumbnail }, 0).thumbnail).toBe(`/api/thumbnail?url=${asked}`);
  });

  it('may be what a parser says, with whatever it says besides', () => {
    const found = asFound({ plugin: 'm3u8', name: '1080p', url: 'https://e/1', bandwidth: 7, codecs: 'x'.repeat(99), deep: {} }, 0);
    expect([found.title, found.extras]).toEqual(['1080p', [{ name: 'bandwidth', value: '7' }]]);
  });

  it('has each of its further addresses once', () => {
    const magnet = 'magnet:?xt=urn:btih:aa';
    const { addresses } = asFound(
      {
        url: magnet,
        metadata: {
          magnet,
          torrent_url: 'https://example.com/x.torrent',
          downloads: [
            { title: '第1集', source: 'cloud', url: 'https://example.com/1.mkv' },
            { title: 'again', url: 'https://example.com/1.mkv' },
          ],
          enclosures: [{ url: 'https://example.com/2.mp3' }],
        },
      },
      0,
    );
    expect(addresses).toEqual([
      { kind: 'torrent', label: '', url: 'https://example.com/x.torrent' },
      { kind: 'file', label: 'cloud · 第1集', url: 'https://example.com/1.mkv' },
      { kind: 'file', label: '', url: 'https://example.com/2.mp3' },
    ]);
  });
});

describe('the arrangement', () => {
  const results = [
    { title: '第10集', plugin: 'b', description: 'ten', duration: '45:00' },
    { title: '第2集', plugin: 'a', description: 'TWO things', duration: 7000 },
    { title: '第1集', plugin: 'b', platform: 'site' },
  ].map(asFound);
  const titles = (words: string, sort: Sort, more: Partial<Filter> = {}): string[] =>
    arranged(results, { ...NO_FILTER, words, ...more }, sort, 'zh').map(({ title }) => title);

  it('is by arrival, by title with its numbers, or by plugin', () => {
    expect(titles('', 'arrival')).toEqual(['第10集', '第2集', '第1集']);
    expect(titles('', 'title')).toEqual(['第1集', '第2集', '第10集']);
    expect(titles('', 'plugin')).toEqual(['第2集', '第10集', '第1集']);
  });

  it('is by platform or the longest first, and what has none of it comes last', () => {
    expect(titles('', 'platform')).toEqual(['第1集', '第10集', '第2集']);
    expect(titles('', 'duration')).toEqual(['第2集', '第10集', '第1集']);
  });

  it('keeps one plugin, one platform or one length', () => {
    expect(titles('', 'arrival', { plugin: 'b' })).toEqual(['第10集', '第1集']);
    expect(titles('', 'arrival', { platform: 'site' })).toEqual(['第1集']);
    expect(titles('', 'arrival', { length: 'middle' })).toEqual(['第10集']);
    expect(titles('集', 'arrival', { plugin: 'b', length: 'long' })).toEqual([]);
  });

  it('offers what the results differ in', () => {
    expect(facetsOf(results, 'zh')).toEqual({ platforms: [], plugins: ['a', 'b'], lengths: ['middle', 'long'] });
    expect(facetsOf(results.slice(0, 1), 'zh')).toEqual({ platforms: [], plugins: [], lengths: [] });
  });

  it('keeps what has all the words, in any field', () => {
    expect(titles(' two 集 ', 'arrival')).toEqual(['第2集']);
    expect(titles('site', 'arrival')).toEqual(['第1集']);
    expect(titles('nowhere', 'arrival')).toEqual([]);
  });
});

describe('a duration', () => {
  it.each([
    [90, 90],
    ['90', 90],
    ['1:23:45', 5025],
    ['45:00', 2700],
    ['PT1H23M', 4980],
    ['83 min', 4980],
    ['1h 2m 3s', 3723],
    ['1小时23分钟', 4980],
    ['全24集', null],
    ['', null],
    [0, null],
    [Number.NaN, null],
    [null, null],
  ])('%j is %j seconds', (duration, seconds) => {
    expect(secondsOf(duration)).toBe(seconds);
  });
});
