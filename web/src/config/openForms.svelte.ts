/** Forms with changes that are not stored yet: they outlive their view, so that looking elsewhere loses nothing. */

import type { Plugin } from '../api/model';
import { ConfigApi } from './configApi';
import { ConfigForm, unowned } from './configForm.svelte';
import type { Dashboard } from '../shell/dashboard.svelte';

const MOST = 20;
const forms = new Map<string, ConfigForm>();

/** The form of a plugin: the one that was left with changes, or a new one. */
export function openForm(dashboard: Dashboard, plugin: Plugin): ConfigForm {
  const kept = forms.get(plugin.id);
  if (kept?.dirty) return kept;
  const form = unowned(() => new ConfigForm(new ConfigApi(dashboard.api), dashboard.plugins, plugin));
  forms.delete(plugin.id);
  forms.set(plugin.id, form);
  for (const [id, { dirty }] of forms) {
    if (forms.size <= MOST) break;
    if (!dirty) forms.delete(id);
  }
  return form;
}

window.addEventListener('beforeunload', (event) => {
  if ([...forms.values()].some(({ dirty }) => dirty)) event.preventDefault();
});
