/** Short messages about what an action came to. */

import type { Tone } from '../activity/activity';

/** What the reader can do about it. */
export interface ToastAction {
  label: string;
  run: () => void;
  /** Whether the action takes the focus: where what had it is gone. */
  focus?: boolean;
}

export interface Toast {
  id: number;
  tone: Tone;
  title: string;
  text: string;
  action: ToastAction | null;
}

const SHOWN_MS = 5_000;
/** What went wrong takes longer to read, and what can be done longer to decide. */
const LONG_SHOWN_MS = 12_000;
const ACTION_SHOWN_MS = 20_000;
const MOST = 4;

class Toasts {
  list = $state.raw<readonly Toast[]>([]);
  private nextId = 1;
  private readonly timers = new Map<number, ReturnType<typeof setTimeout>>();
  private isHeld = false;

  add(tone: Tone, title: string, text = '', action: ToastAction | null = null): void {
    const toast = { id: this.nextId++, tone, title, text, action };
    for (const { id } of this.list.slice(0, -(MOST - 1))) this.remove(id);
    this.list = [...this.list, toast];
    this.startTimer(toast);
  }

  remove(id: number): void {
    clearTimeout(this.timers.get(id));
    this.timers.delete(id);
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  /** Nothing goes while somebody points at it or has the focus in it; then each has its whole time again. */
  hold(held: boolean): void {
    this.isHeld = held;
    for (const toast of this.list) this.startTimer(toast);
  }

  private startTimer({ id, tone, action }: Toast): void {
    clearTimeout(this.timers.get(id));
    if (this.isHeld) return;
    const shown = action !== null ? ACTION_SHOWN_MS : tone === 'bad' ? LONG_SHOWN_MS : SHOWN_MS;
    this.timers.set(id, setTimeout(() => this.remove(id), shown));
  }
}

export const toasts = new Toasts();
