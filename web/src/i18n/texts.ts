/** The words of one feature, which come with it when it is opened. */

import { preferences } from '../ui/preferences.svelte';
import { fill, type Params } from './fill';

/**
 * What picks a feature's texts in the language that is shown now.
 *
 * @param zh its words in Chinese
 * @param en the same keys in English
 */
export function texts<Key extends string>(
  zh: Readonly<Record<Key, string>>,
  en: Readonly<Record<Key, string>>,
): (key: Key, params?: Params) => string {
  return (key, params) => fill((preferences.language === 'zh' ? zh : en)[key], params);
}
