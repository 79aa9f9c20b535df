/** What the reader chose for this browser: language and appearance. */

import { type Key, preferredLanguage, translate } from '../i18n';
import type { Params } from '../i18n/fill';
import type { Language } from '../api/model';
import { keep, kept } from './storage';

export const THEMES = ['light', 'dark', 'system'] as const;
export type Theme = (typeof THEMES)[number];

const LANGUAGE_KEY = 'plugbay.language';
const THEME_KEY = 'plugbay.theme';

class Preferences {
  language = $state<Language>('zh');
  theme = $state<Theme>('system');

  constructor() {
    const language = kept(LANGUAGE_KEY);
    this.language = language === 'zh' || language === 'en' ? language : preferredLanguage(navigator.languages);
    this.theme = THEMES.find((theme) => theme === kept(THEME_KEY)) ?? 'system';
    this.show();
  }

  setLanguage(language: Language): void {
    this.language = language;
    keep(LANGUAGE_KEY, language);
    this.show();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    keep(THEME_KEY, theme);
    this.show();
  }

  private show(): void {
    const root = document.documentElement;
    root.lang = this.language === 'zh' ? 'zh-CN' : 'en';
    if (this.theme === 'system') delete root.dataset.theme;
    else root.dataset.theme = this.theme;
  }
}

export const preferences = new Preferences();

/** The text of `key` in the language that is shown now. */
export function t(key: Key, params?: Params): string {
  return translate(preferences.language, key, params);
}
