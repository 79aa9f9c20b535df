import { describe, expect, it } from 'vitest';
import { fileOf, isAddress, isDownloadable, placeOf, safeHref } from '../src/ui/links';

describe('a link', () => {
  it.each([
    ['https://example.com/a b?q=斗罗', 'https://example.com/a%20b?q=%E6%96%97%E7%BD%97'],
    ['HTTP://Example.com', 'http://example.com/'],
    ['magnet:?xt=urn:btih:aa&dn=x', 'magnet:?xt=urn:btih:aa&dn=x'],
  ])('is %s', (address, href) => {
    expect(safeHref(address)).toBe(href);
  });

  it.each([
    'javascript:alert(1)',
    ' javascript:alert(1)',
    'java\tscript:alert(1)',
    'JavaScript:alert(1)//https://example.com',
    'data:text/html,<script>alert(1)</script>',
    'vbscript:x',
    'file:///etc/passwd',
    'blob:https://example.com/1',
    'view-source:https://example.com',
    '/api/plugins',
    '//example.com',
    'example.com',
    '',
  ])('is not %j', (address) => {
    expect(safeHref(address)).toBeNull();
  });
});

describe('a download', () => {
  it('can be asked for where somebody may take it', () => {
    expect(isDownloadable('https://example.com/x', [])).toBe(true);
    expect(isDownloadable('magnet:?xt=urn:btih:aa', [])).toBe(true);
    expect(isDownloadable('ed2k://|file|x|/', ['http', 'ED2K'])).toBe(true);
    expect(isDownloadable('ftp://example.com/x', ['http'])).toBe(false);
    expect(isDownloadable('file:///x', ['http'])).toBe(false);
    expect(isDownloadable('javascript:alert(1)', ['javascript'])).toBe(false);
    expect(isDownloadable('no address', ['http'])).toBe(false);
  });

  it('is a whole address', () => {
    expect(isAddress('https://example.com/x')).toBe(true);
    expect(isAddress('magnet:?xt=urn:btih:aa')).toBe(true);
    expect(isAddress('ed2k://|file|x|/')).toBe(true);
    expect(isAddress('example.com/x')).toBe(false);
    expect(isAddress('https://')).toBe(false);
  });

  it('is named by the end of its address', () => {
    expect(fileOf('https://example.com/a/%E6%96%97.mkv?x=1')).toBe('斗.mkv');
    expect(fileOf('https://example.com/')).toBe('example.com');
    expect(fileOf('https://example.com/100%')).toBe('100%');
    expect(fileOf('magnet:?xt=urn:btih:aa&dn=A+film')).toBe('A film');
    expect(fileOf('what')).toBe('what');
  });

  it('has a place', () => {
    expect(placeOf('https://example.com:8080/x')).toBe('example.com:8080');
    expect(placeOf('magnet:?xt=urn:btih:aa')).toBe('');
    expect(placeOf('what')).toBe('');
  });
});
