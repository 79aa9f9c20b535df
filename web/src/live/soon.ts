/** Something to be done a moment after it is asked for: whatever else asks within that moment is answered as well. */
export interface Soon {
  ask(): void;
  cancel(): void;
}

/** @param ms the moment; however often it is asked for, it is done once in that time, and never put off further */
export function soon(action: () => void, ms: number): Soon {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    ask() {
      timer ??= setTimeout(() => {
        timer = undefined;
        action();
      }, ms);
    },
    cancel() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
