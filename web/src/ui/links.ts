/** Addresses that come from plugins: what may become a link, and what can be downloaded. */

function parsed(address: string): URL | null {
  try {
    return new URL(address);
  } catch {
    return null;
  }
}

/** The address as an `href`, or null where following it could do anything but open a page or a torrent program. */
export function safeHref(address: string): string | null {
  const url = parsed(address);
  if (url === null) return null;
  if (url.protocol === 'magnet:') return url.href;
  return (url.protocol === 'http:' || url.protocol === 'https:') && url.hostname !== '' ? url.href : null;
}

export function isMagnet(address: string): boolean {
  return parsed(address)?.protocol === 'magnet:';
}

/** The host of a web address; empty where it has none. */
export function placeOf(address: string): string {
  return parsed(address)?.host ?? '';
}

/** Not by `URL`, which takes no `ed2k://|file|…`. */
function schemeOf(address: string): string {
  return /^([a-z][a-z0-9+.-]*):./i.exec(address)?.[1]?.toLowerCase() ?? '';
}

const EVERYWHERE = ['http', 'https', 'magnet'];

/**
 * Whether a download of the address can be asked for.
 *
 * @param protocols what the enabled download plugins say that they take
 */
export function isDownloadable(address: string, protocols: Iterable<string>): boolean {
  const scheme = schemeOf(address);
  if (scheme === '' || scheme === 'javascript' || scheme === 'data') return false;
  return EVERYWHERE.includes(scheme) || [...protocols].some((one) => one.toLowerCase() === scheme);
}

/** The last part of the path, which names what a download without a title is. */
export function fileOf(address: string): string {
  const url = parsed(address);
  if (url === null) return address;
  if (url.protocol === 'magnet:') return url.searchParams.get('dn') ?? address;
  const last = url.pathname.split('/').filter(Boolean).at(-1);
  if (last === undefined) return url.host || address;
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

/** Whether it is a whole address: it has a scheme and something behind it. */
export function isAddress(text: string): boolean {
  const scheme = schemeOf(text);
  return scheme === 'http' || scheme === 'https' ? safeHref(text) !== null : scheme !== '';
}
