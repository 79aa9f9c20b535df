/** Two texts in one editor: what is only needed where they are brought together by hand, which is seldom. */

import { acceptChunk, goToNextChunk, goToPreviousChunk, rejectChunk, unifiedMergeView } from '@codemirror/merge';
import { type Extension, Prec } from '@codemirror/state';
import { keymap } from '@codemirror/view';

/** The text of somebody else beside the reader's: each change is kept or given up, by its buttons or by keys. */
export function mergingWith(original: string): Extension {
  return [
    unifiedMergeView({ original, mergeControls: true, gutter: true, syntaxHighlightDeletions: false }),
    Prec.high(
      keymap.of([
        { key: 'F7', run: goToNextChunk, shift: goToPreviousChunk, preventDefault: true },
        { key: 'Mod-Enter', run: (view) => acceptChunk(view), preventDefault: true },
        { key: 'Mod-Shift-Enter', run: (view) => rejectChunk(view), preventDefault: true },
      ]),
    ),
  ];
}
