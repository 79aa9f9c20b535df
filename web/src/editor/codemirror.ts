/** The editor, put together: what it can do, in one place. */

import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completeAnyWord,
  type CompletionContext,
  completionKeymap,
  type CompletionResult,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { python } from '@codemirror/lang-python';
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit } from '@codemirror/language';
import { lintGutter, lintKeymap } from '@codemirror/lint';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import { Compartment, EditorState, type Extension } from '@codemirror/state';
import {
  drawSelection,
  dropCursor,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
  rectangularSelection,
} from '@codemirror/view';
import type { Language } from '../api/model';
import type { Buffer } from './buffer.svelte';
import { marked } from './marks';
import { phrasesOf } from './phrases';
import { theme } from './theme';

/** What changes while an editor lives; the view sees to the texts that are merged. */
export const words = new Compartment();
export const merging = new Compartment();

export interface Words {
  language: Language;
  label: string;
  /** How it is left by the keyboard, for those who cannot see the line below. */
  help: string;
}

export function wordsOf({ language, label, help }: Words): Extension {
  return [
    EditorState.phrases.of(phrasesOf(language)),
    EditorView.contentAttributes.of({ 'aria-label': label, 'aria-description': help, tabindex: '0' }),
  ];
}

export function languageOf(path: string): Extension {
  return path.endsWith('.py') ? python() : [];
}

/** What a text has that is only looked at, too. */
export function looks(path: string): Extension {
  return [
    theme,
    lineNumbers(),
    highlightSpecialChars(),
    languageOf(path),
    EditorState.tabSize.of(4),
    EditorView.lineWrapping,
  ];
}

/**
 * Typing over a selection. Chromium would keep the selection's looks by a `style` attribute around the new letter,
 * which the content policy forbids, so the letter is put in here, past the brackets that close themselves.
 */
const typingOver = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { data, inputType } = event;
    const { main } = view.state.selection;
    if (inputType !== 'insertText' || data === null || main.empty || view.composing || view.state.readOnly) return false;
    event.preventDefault();
    const insert = () => view.state.update(view.state.replaceSelection(data), { userEvent: 'input.type', scrollIntoView: true });
    const handlers = view.state.facet(EditorView.inputHandler);
    if (!handlers.some((handler) => handler(view, main.from, main.to, data, insert))) view.dispatch(insert());
    return true;
  },
});

/** A file that is dropped on the page is one to install, wherever it falls: the editor must not take it for text. */
const noFiles = EditorView.domEventHandlers({
  drop: (event) => event.dataTransfer?.types.includes('Files') === true,
});

/** Behind a dot, the words of the text: names themselves are completed by what Python defines. */
function attributes(context: CompletionContext): CompletionResult | null {
  if (context.matchBefore(/\.\w+/) === null) return null;
  const found = completeAnyWord(context);
  return found instanceof Promise ? null : found;
}

/** The state of an editor on a buffer, which it tells of every change and asks to be saved. */
export function stateOf(buffer: Buffer, given: Words): EditorState {
  const save = (): boolean => {
    buffer.onsave(buffer);
    return true;
  };
  return EditorState.create({
    doc: buffer.text,
    extensions: [
      looks(buffer.path),
      words.of(wordsOf(given)),
      merging.of([]),
      marked,
      lintGutter(),
      foldGutter({ openText: '▾', closedText: '▸' }),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      history(),
      drawSelection(),
      dropCursor(),
      rectangularSelection(),
      indentOnInput(),
      indentUnit.of('    '),
      bracketMatching(),
      closeBrackets(),
      typingOver,
      noFiles,
      autocompletion({ icons: false }),
      EditorState.languageData.of(() => [{ autocomplete: attributes }]),
      EditorState.allowMultipleSelections.of(true),
      search({ top: true }),
      highlightSelectionMatches(),
      keymap.of([
        { key: 'Mod-s', run: save, preventDefault: true },
        ...closeBracketsKeymap,
        ...defaultKeymap,
        ...searchKeymap,
        ...historyKeymap,
        ...foldKeymap,
        ...completionKeymap,
        ...lintKeymap,
        indentWithTab,
      ]),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) buffer.edited(update.state.doc.toString());
      }),
    ],
  });
}

/** A text that can be looked at and copied from, reached by the keyboard. */
export function readOnly(path: string, given: Words): Extension {
  return [
    looks(path),
    EditorState.readOnly.of(true),
    EditorView.editable.of(false),
    search({ top: true }),
    keymap.of(searchKeymap),
    wordsOf(given),
  ];
}

const FRAME = `
  .cm-mergeView { height: 100%; overflow: auto; }
  .cm-mergeViewEditors { min-height: 100%; }
  .cm-mergeViewEditor + .cm-mergeViewEditor { border-inline-start: 1px solid var(--border); }
`;

/**
 * A root of its own for an editor: its styles are taken from constructed sheets there, while in the document it would
 * add elements that the content policy forbids.
 */
export function rootIn(host: HTMLElement): ShadowRoot {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' });
  root.replaceChildren();
  const frame = new CSSStyleSheet();
  frame.replaceSync(FRAME);
  root.adoptedStyleSheets = [frame];
  return root;
}
