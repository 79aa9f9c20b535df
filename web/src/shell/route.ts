/** Which view the page shows, as the part of its address behind `#`: `#/plugins/search/demo/code?line=12`. */

export const VIEWS = ['plugins', 'search', 'downloads', 'activity', 'settings'] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  view: View;
  /** What stands behind the view, decoded: `['search', 'demo', 'code']`. */
  path: readonly string[];
  query: Readonly<Record<string, string>>;
}

/** The route in an address; what cannot be understood is the first view. */
export function routeOf(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [first, ...rest] = path.split('/').map(decoded);
  const view = VIEWS.find((one) => one === first);
  if (view === undefined) return { view: 'plugins', path: [], query: {} };
  return { view, path: rest.filter((part) => part !== ''), query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a view, to be put into `href`. */
export function hashOf(view: View, path: readonly string[] = [], query: Readonly<Record<string, string>> = {}): string {
  const parts = [view, ...path].map(encodeURIComponent).join('/');
  const asked = new URLSearchParams(query).toString();
  return asked === '' ? `#/${parts}` : `#/${parts}?${asked}`;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
