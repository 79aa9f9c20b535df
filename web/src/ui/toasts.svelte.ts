/** Short messages about what an action came to. */

import type { Tone } from '../activity/activity';

export interface Toast {
  id: number;
  tone: Tone;
  title: string;
  text: string;
}

const SHOWN_MS = 5_000;
/** What went wrong takes longer to read. */
const BAD_SHOWN_MS = 12_000;
const MOST = 4;

class Toasts {
  list = $state.raw<readonly Toast[]>([]);
  private nextId = 1;

  add(tone: Tone, title: string, text = ''): void {
    const id = this.nextId++;
    this.list = [...this.list, { id, tone, title, text }].slice(-MOST);
    setTimeout(() => this.remove(id), tone === 'bad' ? BAD_SHOWN_MS : SHOWN_MS);
  }

  remove(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
