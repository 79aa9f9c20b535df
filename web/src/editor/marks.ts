/** Errors at their lines: the line coloured, the message below it, a sign in the gutter. */

import { type Diagnostic, setDiagnostics } from '@codemirror/lint';
import { type EditorState, type Extension, StateEffect, StateField, type TransactionSpec } from '@codemirror/state';
import { Decoration, type DecorationSet, EditorView, WidgetType } from '@codemirror/view';

/** `line` and `column` begin at 1; with no column it is the whole line. */
export interface Mark {
  line: number;
  column: number | null;
  message: string;
  severity: 'error' | 'warning';
}

/** The panel below has all of it. */
const MESSAGE_MAX = 240;

class Message extends WidgetType {
  constructor(
    private readonly message: string,
    private readonly severity: Mark['severity'],
  ) {
    super();
  }

  override eq(other: Message): boolean {
    return other.message === this.message && other.severity === this.severity;
  }

  override toDOM(): HTMLElement {
    const element = document.createElement('div');
    element.className = this.severity === 'error' ? 'cm-mark' : 'cm-mark cm-warned';
    element.textContent = this.message.length > MESSAGE_MAX ? `${this.message.slice(0, MESSAGE_MAX)}…` : this.message;
    return element;
  }
}

const put = StateEffect.define<readonly Mark[]>();

const shown = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(decorations, transaction) {
    let now = decorations.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(put)) now = decorationsOf(transaction.state, effect.value);
    }
    return now;
  },
  provide: (field) => EditorView.decorations.from(field),
});

function decorationsOf(state: EditorState, marks: readonly Mark[]): DecorationSet {
  const ranges = marks.flatMap(({ line, message, severity }) => {
    const { from, to } = lineAt(state, line);
    const warned = severity === 'warning' ? ' cm-warned' : '';
    return [
      Decoration.line({ class: `cm-markedLine${warned}` }).range(from),
      Decoration.widget({ widget: new Message(message, severity), block: true, side: 1 }).range(to),
    ];
  });
  // Two may be of one line: what is on the disk does not load there, and what serves raised there.
  return Decoration.set(ranges, true);
}

function lineAt(state: EditorState, line: number) {
  return state.doc.line(Math.min(Math.max(line, 1), state.doc.lines));
}

function diagnosticOf(state: EditorState, { line, column, message, severity }: Mark): Diagnostic {
  const { from, to, text } = lineAt(state, line);
  const indent = text.length - text.trimStart().length;
  const start = Math.min(from + (column === null ? indent : Math.max(column - 1, 0)), to);
  return { from: start, to, message, severity };
}

export const marked: Extension = shown;

/** What shows these marks instead of those before. */
export function withMarks(state: EditorState, marks: readonly Mark[]): TransactionSpec[] {
  const diagnostics = marks.map((mark) => diagnosticOf(state, mark));
  return [{ effects: put.of(marks) }, setDiagnostics(state, diagnostics)];
}
