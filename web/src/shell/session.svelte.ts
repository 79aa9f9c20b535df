/** Whether the server wants the reader to sign in, and who waits for that. */

class Session {
  /** The server has turned a request away, and the reader has neither signed in nor declined. */
  asked = $state(false);
  private waiting: ((done: boolean) => void)[] = [];

  /** Asks the reader to sign in; resolves to whether it was done. Any number may wait for one answer. */
  ask(): Promise<boolean> {
    this.asked = true;
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  signedIn(): void {
    this.answer(true);
  }

  declined(): void {
    this.answer(false);
  }

  private answer(done: boolean): void {
    this.asked = false;
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve(done);
  }
}

export const session = new Session();
