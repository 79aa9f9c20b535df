/** Keys that mean the same on every page. */

/** The key that goes with letters in shortcuts, as this machine's keyboard names it. */
export const MODIFIER = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘' : 'Ctrl';

/** Whether these are the keys by which the browser would save the page as a file, and nothing has taken them yet. */
export function asksToSave(event: KeyboardEvent): boolean {
  const { key, metaKey, ctrlKey, shiftKey, altKey, defaultPrevented } = event;
  return key.toLowerCase() === 's' && (metaKey || ctrlKey) && !shiftKey && !altKey && !defaultPrevented;
}
