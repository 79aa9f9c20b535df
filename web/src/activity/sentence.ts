/** The words of an activity. */

import { around, named } from '../i18n';
import { formatMs } from '../ui/format';
import { preferences, t } from '../ui/preferences.svelte';
import type { Activity } from './activity';

/** What stands before and after the plugin's name in the sentence. */
export function sentenceOf(activity: Activity): [before: string, after: string] {
  const params = { ...activity.params };
  if (typeof params.ms === 'number') params.ms = formatMs(params.ms);
  if (typeof params.stage === 'string') params.stage = named(preferences.language, 'stage', params.stage);
  return around(t(`activity.${activity.kind}`, params), '{plugin}');
}
