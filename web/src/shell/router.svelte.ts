/** The view that is shown: it follows the address, so that back, forward and reload do what they always do. */

import { hashOf, type Route, routeOf, type View } from './route';

class Router {
  route = $state.raw<Route>(routeOf(location.hash));

  constructor() {
    window.addEventListener('hashchange', () => {
      const before = this.route;
      this.route = routeOf(location.hash);
      // The parts of one page share its place.
      const samePage = before.view === this.route.view && before.path.slice(0, 2).join() === this.route.path.slice(0, 2).join();
      if (!samePage) window.scrollTo(0, 0);
    });
  }

  go(view: View, path: readonly string[] = [], query: Readonly<Record<string, string>> = {}): void {
    location.hash = hashOf(view, path, query);
  }

  /** As `go`, with nothing to go back to. */
  replace(view: View, path: readonly string[] = [], query: Readonly<Record<string, string>> = {}): void {
    location.replace(hashOf(view, path, query));
  }
}

export const router = new Router();
