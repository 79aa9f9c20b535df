import { describe, expect, it } from 'vitest';
import { arranged, asFound } from '../src/search/found';

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
      platform: 'example',
      path: '/films/1.mkv',
      description: 'words',
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
    ['https://example.com/x.jpg'],
    ['/api/plugins'],
    ['data:image/svg+xml;base64,PHN2Zz4='],
    ['data:text/html;base64,PGI+'],
    [`data:image/png;base64,${'A'.repeat(400_000)}`],
  ])('has no picture that the page may not show: %.40s', (thumbnail) => {
    expect(asFound({ thumbnail }, 0).thumbnail).toBe('');
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
    { title: '第10集', plugin: 'b', description: 'ten' },
    { title: '第2集', plugin: 'a', description: 'TWO things' },
    { title: '第1集', plugin: 'b', platform: 'site' },
  ].map(asFound);
  const titles = (words: string, sort: Parameters<typeof arranged>[2]): string[] =>
    arranged(results, words, sort, 'zh').map(({ title }) => title);

  it('is by arrival, by title with its numbers, or by plugin', () => {
    expect(titles('', 'arrival')).toEqual(['第10集', '第2集', '第1集']);
    expect(titles('', 'title')).toEqual(['第1集', '第2集', '第10集']);
    expect(titles('', 'plugin')).toEqual(['第2集', '第10集', '第1集']);
  });

  it('keeps what has all the words, in any field', () => {
    expect(titles(' two 集 ', 'arrival')).toEqual(['第2集']);
    expect(titles('site', 'arrival')).toEqual(['第1集']);
    expect(titles('nowhere', 'arrival')).toEqual([]);
  });
});
