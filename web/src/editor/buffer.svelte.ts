/** One open file: its text as the reader has it, and as the server had it. */

import type { EditorState } from '@codemirror/state';
import type { LoadError } from '../api/model';
import { drafts } from './drafts';
import { whatToDo, withPlainEnds } from './merging';
import type { Source } from './sources';

const DRAFT_MS = 300;

/** Who changed a file elsewhere, as far as it was told. */
export interface Elsewhere {
  cause: string;
  generation: number | null;
  at: string | null;
}

/** What the last action or change came to. */
export type Outcome =
  | { kind: 'saved'; generation: number; loadMs: number | null; serves: boolean }
  | { kind: 'unchanged' }
  | { kind: 'refused'; error: LoadError; of: string | null; generation: number | null; serves: boolean }
  | { kind: 'conflict'; elsewhere: Elsewhere }
  | { kind: 'sign_in' }
  | { kind: 'unreachable' }
  | { kind: 'failed'; text: string }
  | { kind: 'followed'; elsewhere: Elsewhere }
  | { kind: 'missing' }
  | { kind: 'restored'; at: string }
  | { kind: 'rolled_back'; version: string; generation: number; change: string | null }
  | { kind: 'undone'; generation: number };

/** A place to go to; the same one can be asked for again. */
export interface Jump {
  line: number;
}

export class Buffer {
  /** The file as the text was made from it; with an empty hash where it is not there yet. */
  base = $state.raw<Source>({ text: '', sha256: '' });
  text = $state.raw('');
  /** The file as somebody else has made it while this text was changed, too. */
  theirs = $state.raw<Source | null>(null);
  /** What the text is merged with by hand; null where that is not under way. */
  merging = $state.raw<string | null>(null);
  saving = $state(false);
  outcome = $state.raw<Outcome | null>(null);
  /** Grows when the text was replaced from outside of the editor. */
  replaced = $state(0);
  jump = $state.raw<Jump | null>(null);
  /** Whether the browser keeps what is not saved. */
  kept = $state(true);
  readonly dirty = $derived(this.text !== this.base.text);

  /** How often the file was looked at; only the newest answer counts. */
  looks = 0;
  /** Selection, folds and history while the file is not in the editor. */
  editorState: EditorState | null = null;

  private crlf = false;
  /** The draft that is known to be this page's; another tab may keep one under the same name. */
  private ownDraft: string | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param owner whose draft it is, such as `search/demo`
   * @param path relative to home
   * @param onsave what saves it
   */
  constructor(
    readonly owner: string,
    readonly path: string,
    readonly onsave: (buffer: Buffer) => void,
  ) {}

  /** What the file has to be written as. */
  get toWrite(): string {
    return this.crlf ? this.text.replaceAll('\n', '\r\n') : this.text;
  }

  /** Takes the file as it is, and the draft of it where there is one. */
  open(given: Source): void {
    const source = this.normal(given);
    this.base = source;
    this.text = source.text;
    const draft = drafts.read(this.owner, this.path);
    if (draft === null) return;
    if (draft.text === source.text) {
      drafts.remove(this.owner, this.path);
      return;
    }
    this.text = draft.text;
    this.ownDraft = draft.text;
    this.outcome = { kind: 'restored', at: draft.at };
    if (draft.base === source.sha256) return;
    // What it was made from is not known any more, only that it was something else.
    this.base = { text: source.text, sha256: draft.base };
    this.theirs = source;
  }

  /** The reader typed. */
  edited(text: string): void {
    if (text === this.text) return;
    this.text = text;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.keep(), DRAFT_MS);
  }

  /** Keeps what is not saved in the browser, now. */
  keep(): void {
    clearTimeout(this.timer);
    if (!this.dirty) {
      if (this.ownDraft !== null && drafts.read(this.owner, this.path)?.text === this.ownDraft) {
        drafts.remove(this.owner, this.path);
      }
      this.ownDraft = null;
      this.kept = true;
      return;
    }
    this.ownDraft = this.text;
    this.kept = drafts.write(this.owner, this.path, {
      text: this.text,
      base: this.base.sha256,
      at: new Date().toISOString(),
    });
  }

  /** The file is `text` on the server now, since this page has written it. */
  saved(text: string, sha256: string): void {
    this.base = { text, sha256 };
    this.theirs = null;
    this.merging = null;
    this.keep();
  }

  /** The file was looked at. */
  found(given: Source, elsewhere: Elsewhere): void {
    const source = this.normal(given);
    switch (whatToDo(this.base, this.text, source)) {
      case 'same':
        this.settled();
        return;
      case 'agreed':
        this.settled();
        this.saved(source.text, source.sha256);
        return;
      case 'follow':
        this.base = source;
        if (!this.hasToldOf(elsewhere)) this.outcome = { kind: 'followed', elsewhere };
        this.replace(source.text);
        return;
      case 'conflict':
        if (this.theirs?.sha256 === source.sha256) return;
        this.theirs = source;
        this.outcome = { kind: 'conflict', elsewhere };
    }
  }

  /** A return to another text that was asked for here is told as such, whichever of its answer and its event is first. */
  private hasToldOf({ generation }: Elsewhere): boolean {
    const { outcome } = this;
    return (outcome?.kind === 'rolled_back' || outcome?.kind === 'undone') && outcome.generation === generation;
  }

  /** The file is gone while its plugin is not. */
  lost(): void {
    this.base = { text: '', sha256: '' };
    this.theirs = null;
    this.outcome = { kind: 'missing' };
    this.keep();
  }

  takeTheirs(): void {
    if (this.theirs === null) return;
    const { text } = this.theirs;
    this.base = this.theirs;
    this.theirs = null;
    this.outcome = null;
    this.replace(text);
    this.keep();
  }

  /** The text may be written over the file as it is now. */
  keepMine(): void {
    if (this.theirs === null) return;
    this.base = this.theirs;
    this.theirs = null;
    this.outcome = null;
    this.keep();
  }

  mergeByHand(): void {
    if (this.theirs === null) return;
    this.merging = this.theirs.text;
    this.keepMine();
  }

  /** Gives up what is not saved. */
  discard(): void {
    this.outcome = null;
    this.merging = null;
    this.replace(this.base.text);
    this.keep();
  }

  replace(text: string): void {
    this.text = text;
    this.replaced += 1;
  }

  /** There is nothing to choose any more. */
  private settled(): void {
    this.theirs = null;
    if (this.outcome?.kind === 'conflict') this.outcome = null;
  }

  private normal(source: Source): Source {
    const { text, crlf } = withPlainEnds(source.text);
    this.crlf = crlf;
    return { text, sha256: source.sha256 };
  }
}
