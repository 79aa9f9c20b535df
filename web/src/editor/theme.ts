/** The editor's looks, by the tokens of the page: they reach through its shadow root, and follow the theme by themselves. */

import { HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { EditorView } from '@codemirror/view';
import { tags } from '@lezer/highlight';

const field = {
  minHeight: '28px',
  margin: '0',
  padding: '0 8px',
  border: '1px solid var(--border-strong)',
  borderRadius: '6px',
  background: 'var(--surface)',
  color: 'var(--text)',
  font: '13px/1.5 var(--sans)',
};

const button = { ...field, backgroundImage: 'none', cursor: 'pointer' };

const wavy = (colour: string) => ({
  backgroundImage: 'none',
  textDecoration: `underline wavy var(--${colour}) 1px`,
  textUnderlineOffset: '3px',
  paddingBottom: '0',
});

const look = EditorView.theme({
  '&': { height: '100%', background: 'var(--surface)', color: 'var(--text)', fontSize: '13px' },
  '&.cm-focused': { outline: 'none' },
  // Above the gutters and the coloured lines, which would cover an outline.
  '&.cm-focused::after': {
    content: '""',
    position: 'absolute',
    inset: '0',
    zIndex: '300',
    border: '2px solid var(--focus)',
    pointerEvents: 'none',
  },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6', overflow: 'auto' },
  '.cm-content': { padding: '10px 0', caretColor: 'var(--text)' },
  '.cm-line': { padding: '0 14px 0 8px' },
  '.cm-cursor, .cm-dropCursor': { borderLeftColor: 'var(--text)', borderLeftWidth: '2px' },
  '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': {
    background: 'light-dark(#d6d6f8, #3b3b78)',
  },
  '.cm-activeLine': { background: 'light-dark(rgb(16 20 32 / 3.5%), rgb(255 255 255 / 4%))' },
  '.cm-gutters': { border: '0', background: 'var(--surface)', color: 'var(--text-3)' },
  '.cm-activeLineGutter': { background: 'none', color: 'var(--text)' },
  '.cm-lineNumbers .cm-gutterElement': { minWidth: '34px', padding: '0 6px 0 8px' },
  '.cm-foldGutter .cm-gutterElement': { cursor: 'pointer', color: 'var(--text-3)' },
  '.cm-foldPlaceholder': {
    margin: '0 3px',
    padding: '0 6px',
    border: '1px solid var(--border-strong)',
    background: 'var(--surface-2)',
    color: 'var(--text-2)',
  },
  '.cm-matchingBracket, &.cm-focused .cm-matchingBracket': {
    background: 'var(--accent-soft)',
    outline: '1px solid var(--accent)',
  },
  '.cm-nonmatchingBracket, &.cm-focused .cm-nonmatchingBracket': { background: 'var(--bad-soft)' },
  '.cm-searchMatch': { background: 'var(--warn-soft)', outline: '1px solid var(--warn-dot)' },
  '.cm-searchMatch-selected': { background: 'light-dark(#ffdf9b, #6b4d0d)' },
  '.cm-selectionMatch': { background: 'light-dark(#e3ecf9, #26354d)' },

  '.cm-panels': { background: 'var(--surface-2)', color: 'var(--text)', zIndex: '5' },
  '.cm-panels-top': { borderBottom: '1px solid var(--border)' },
  '.cm-panels-bottom': { borderTop: '1px solid var(--border)' },
  '.cm-panel.cm-search': { padding: '5px 40px 6px 10px' },
  '.cm-panel.cm-search input, .cm-panel.cm-search button, .cm-panel.cm-search label': { margin: '3px 6px 3px 0' },
  '.cm-panel.cm-search .cm-textfield': { width: '180px', maxWidth: '100%' },
  '.cm-panel.cm-search label': {
    display: 'inline-flex',
    alignItems: 'center',
    gap: '4px',
    verticalAlign: 'middle',
    font: '12px/1.5 var(--sans)',
    color: 'var(--text-2)',
  },
  '.cm-panel.cm-search input[type=checkbox]': { margin: '0 2px 0 0', accentColor: 'var(--accent)' },
  '.cm-panel.cm-search [name=close]': {
    top: '8px',
    right: '8px',
    width: '28px',
    height: '28px',
    borderRadius: '6px',
    color: 'var(--text-2)',
    fontSize: '18px',
    cursor: 'pointer',
  },
  '.cm-textfield': field,
  '.cm-button': button,
  '.cm-button:hover': { background: 'var(--surface-3)' },
  '.cm-button:active': { backgroundImage: 'none', background: 'var(--surface-3)' },
  '.cm-panels :focus-visible': { outline: '2px solid var(--focus)', outlineOffset: '1px' },

  '.cm-tooltip': {
    border: '1px solid var(--border-strong)',
    borderRadius: '7px',
    background: 'var(--surface)',
    color: 'var(--text)',
    boxShadow: 'var(--shadow-2)',
    overflow: 'hidden',
  },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: '12.5px', maxHeight: '14em' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '3px 10px' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { background: 'var(--accent)', color: 'var(--accent-text)' },
  '.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '700' },
  '.cm-diagnostic': { padding: '6px 10px', font: '13px/1.5 var(--sans)', whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' },
  '.cm-diagnostic-error': { borderLeft: '3px solid var(--bad-dot)' },
  '.cm-diagnostic-warning': { borderLeft: '3px solid var(--warn-dot)' },
  '.cm-lintRange-error': wavy('bad-dot'),
  '.cm-lintRange-warning': wavy('warn-dot'),
  '.cm-gutter-lint': { width: '18px' },
  '.cm-gutter-lint .cm-gutterElement': { padding: '0 0 0 4px' },
  '.cm-lint-marker': { width: '10px', height: '10px', marginTop: '5px' },
  '.cm-lint-marker-error': { content: '""', borderRadius: '2px', background: 'var(--bad-dot)', rotate: '45deg' },
  '.cm-lint-marker-warning': { content: '""', borderRadius: '50%', background: 'var(--warn-dot)' },
  '.cm-markedLine': { background: 'var(--bad-soft)' },
  '.cm-markedLine.cm-warned': { background: 'var(--warn-soft)' },
  '.cm-mark': {
    display: 'block',
    padding: '3px 14px 5px 10px',
    borderLeft: '3px solid var(--bad-dot)',
    background: 'var(--bad-soft)',
    color: 'var(--bad)',
    font: '12.5px/1.5 var(--sans)',
    whiteSpace: 'pre-wrap',
    overflowWrap: 'anywhere',
  },
  '.cm-mark.cm-warned': { borderColor: 'var(--warn-dot)', background: 'var(--warn-soft)', color: 'var(--warn)' },

  '&.cm-merge-b .cm-changedLine, .cm-inlineChangedLine': { background: 'var(--good-soft)' },
  '&.cm-merge-b .cm-changedText, .cm-changedText': { background: 'light-dark(#c4ecd4, #1f4a33)' },
  '&.cm-merge-a .cm-changedLine, .cm-deletedChunk': { background: 'var(--bad-soft)' },
  '&.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText': { background: 'light-dark(#fbd3cf, #58221f)' },
  '.cm-deletedChunk': { position: 'relative', paddingLeft: '8px' },
  '.cm-deletedChunk .cm-deletedLine': { textDecoration: 'none' },
  '&.cm-merge-b .cm-changedLineGutter': { background: 'var(--good-dot)' },
  '&.cm-merge-a .cm-changedLineGutter, .cm-deletedLineGutter': { background: 'var(--bad-dot)' },
  '.cm-collapsedLines': {
    padding: '3px 14px',
    border: '0',
    background: 'var(--surface-2)',
    color: 'var(--text-2)',
    font: '12px/1.6 var(--sans)',
    cursor: 'pointer',
  },
  '.cm-collapsedLines:before, .cm-collapsedLines:after': { content: '""' },
  '.cm-chunkButtons': { display: 'flex', gap: '4px', insetInlineEnd: '8px', top: '1px', zIndex: '2' },
  '.cm-deletedChunk .cm-chunkButtons button, .cm-chunkButtons button': {
    ...button,
    minHeight: '20px',
    margin: '0',
    padding: '0 7px',
    background: 'var(--surface)',
    color: 'var(--text)',
    font: '12px/1.5 var(--sans)',
  },
});

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword, tags.definitionKeyword, tags.moduleKeyword], color: 'var(--accent)' },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: 'var(--good)' },
  { tag: [tags.number, tags.bool, tags.null, tags.escape], color: 'var(--warn)' },
  { tag: [tags.comment, tags.docString], color: 'var(--text-3)', fontStyle: 'italic' },
  { tag: [tags.definition(tags.function(tags.variableName)), tags.definition(tags.className)], fontWeight: '650' },
  { tag: [tags.meta, tags.self, tags.propertyName, tags.operator, tags.punctuation], color: 'var(--text-2)' },
  { tag: tags.invalid, color: 'var(--bad)' },
]);

export const theme = [look, syntaxHighlighting(colours)];
