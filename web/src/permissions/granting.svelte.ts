/** Which plugin is being granted something: its row and its page both open the one dialog. */

import type { Plugin } from '../api/model';

class Granting {
  plugin = $state.raw<Plugin | null>(null);
}

export const granting = new Granting();
