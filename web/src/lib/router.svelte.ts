/** The view that is shown: it follows the address, so that back, forward and reload do what they always do. */

import { hashOf, type Route, routeOf, type View } from './route';

class Router {
  route = $state.raw<Route>(routeOf(location.hash));

  constructor() {
    window.addEventListener('hashchange', () => {
      this.route = routeOf(location.hash);
      window.scrollTo(0, 0);
    });
  }

  go(view: View, task: string | null = null): void {
    location.hash = hashOf({ view, task });
  }
}

export const router = new Router();
