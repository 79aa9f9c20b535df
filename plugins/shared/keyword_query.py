"""Text as searching sees it: one form for all spellings, words and characters as tokens, and what a user typed.

Chinese has no spaces between words, so every character of a script that is written without them is a token of its own
and a word is a phrase of such tokens: 斗罗, 罗大 and 陆 are all found in 斗罗大陆.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Written without spaces, or in syllables whose marks `\w` does not know: the Indic scripts to Burmese, Khmer,
# Mongolian, Hangul, Chinese and Japanese with all their extensions; and pictures such as emoji.
_SINGLE = (
    r"\u0900-\u109f\u1100-\u11ff\u1780-\u18af\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035"
    r"\u3041-\u30ff\u3105-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    r"\uac00-\ud7ff\uf900-\ufaff\u2600-\u27bf\U0001f000-\U0001faff\U00020000-\U0003ffff"
)
# Not taken apart, as whoever looks for part 4 does not mean every mp4.
_WHOLE = r"(?<![a-z\d])(?:mp[1-4]|m4[abv]|m2ts|m3u8?|3gp|3g2|7z|f4v|bz2)(?![a-z\d])"
# Other letters and digits part where they meet, so that `E02` is found in `S01E02` and 1080 in `1080p`.
_TOKEN = re.compile(rf"{_WHOLE}|[{_SINGLE}]|\d+|[^\W\d_{_SINGLE}]+")
_SINGLE_ONLY = re.compile(rf"[{_SINGLE}]")
_ACCENTS = re.compile(r"[\u0300-\u036f]+")
_WORD = re.compile(r'(?P<minus>-?)"(?P<phrase>[^"]*)"?|(?P<word>\S+)')
_QUOTES = str.maketrans(dict.fromkeys("“”„‟″＂「」『』", '"'))
QUERY_MAX_CHARS = 1000
_TERMS_MAX = 32


def fold(text: str) -> str:
    """One form for all spellings: full and half width, upper and lower case, with accents and without."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))


def tokens(text: str) -> list[str]:
    """The tokens of a text, folded. A number loses its leading zeros: 第1集 and 第01集 are the same."""
    return [_number(token) for token in _TOKEN.findall(fold(text))]


def _number(token: str) -> str:
    return (token.lstrip("0") or "0") if token[0] == "0" else token


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that must, or must not, occur.

    Args:
        text: what was typed, folded.
        tokens: its tokens, to occur one after the other; empty where it has only punctuation.
        open_end: whether the last token may go on: `bun` stands for `bunny`, too.
        exact: whether only whole words count, as in quotes and after a minus.
    """

    text: str
    tokens: tuple[str, ...]
    open_end: bool
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What a user typed: words and "phrases" that must all occur, and -words that must not."""

    required: tuple[Term, ...]
    excluded: tuple[Term, ...]

    @classmethod
    def parse(cls, keyword: str) -> Query:
        """Take what was typed; anything is a query."""
        required: list[Term] = []
        excluded: list[Term] = []
        # Half of an emoji is no text, and no file has it in its name.
        keyword = keyword[:QUERY_MAX_CHARS].encode("utf-8", "replace").decode()
        keyword = keyword.translate(_QUOTES).replace("\0", " ")
        for match in _WORD.finditer(keyword):
            if match["word"] is None:
                text, minus, quoted = match["phrase"], match["minus"], True
            else:
                text, minus, quoted = match["word"], "", False
                if text[0] in "-－" and tokens(text):
                    text, minus = text[1:], "-"
            if text := text.strip():
                (excluded if minus else required).append(_term(text, exact=quoted or bool(minus)))
        # A dash between two words is no word; alone it is what was meant.
        required = [term for term in required if term.tokens] or required
        excluded = [term for term in excluded if term.tokens]
        return cls(tuple(required[:_TERMS_MAX]), tuple(excluded[:_TERMS_MAX]))

    def matches(self, *texts: str) -> bool:
        """Whether all required terms occur, each in any of the texts, and no excluded one does."""
        haystacks = [(fold(text), Tokens(text)) for text in texts if text]

        def occurs(term: Term) -> bool:
            return any(
                found.contain(term) or (not term.exact and not term.text.isdecimal() and term.text in folded)
                for folded, found in haystacks
            )

        return all(map(occurs, self.required)) and not any(map(occurs, self.excluded))


def _term(text: str, *, exact: bool) -> Term:
    folded, found = fold(text), tuple(tokens(text))
    may_go_on = bool(found) and folded[-1].isalpha() and not _SINGLE_ONLY.match(folded[-1])
    return Term(folded, found, may_go_on and not exact, exact)


class Tokens:
    """The tokens of one text, to look for terms in."""

    def __init__(self, text: str) -> None:
        # Tokens hold no spaces, so a phrase of tokens is a substring that begins and ends at one.
        self._joined = f" {' '.join(tokens(text))} "

    def contain(self, term: Term) -> bool:
        """Whether the term's tokens occur one after the other."""
        if not term.tokens:
            return False
        return f" {' '.join(term.tokens)}{'' if term.open_end else ' '}" in self._joined
