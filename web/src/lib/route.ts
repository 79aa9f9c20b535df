/** Which view the page shows, as the part of its address behind `#`. */

export const VIEWS = ['plugins', 'search', 'downloads'] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  view: View;
  /** The search that is shown. */
  task: string | null;
}

/** `#/search/4f2a…`; what cannot be understood is the first view. */
export function routeOf(hash: string): Route {
  const [view, task] = hash.replace(/^#\/?/, '').split('/');
  if (view === 'search') return { view, task: /^[\w-]{1,64}$/.test(task ?? '') ? (task ?? null) : null };
  return { view: VIEWS.find((one) => one === view) ?? 'plugins', task: null };
}

export function hashOf({ view, task }: Route): string {
  return task === null ? `#/${view}` : `#/${view}/${task}`;
}
