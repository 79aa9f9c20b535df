/** A button that copies, and says for a moment that it has. */

import { copyText } from './clipboard';
import { t } from './preferences.svelte';
import { toasts } from './toasts.svelte';

const SAID_MS = 2_000;

export class Copying {
  /** Whether it has just been done. */
  done = $state(false);
  private timer: ReturnType<typeof setTimeout> | undefined;

  async copy(text: string): Promise<void> {
    this.done = await copyText(text);
    clearTimeout(this.timer);
    if (!this.done) toasts.add('warn', t('toast.copyFailed'));
    else this.timer = setTimeout(() => (this.done = false), SAID_MS);
  }
}
