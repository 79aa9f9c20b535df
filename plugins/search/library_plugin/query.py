"""Searching the index: from what was typed to files, the best first."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from plugins.search.library_plugin.store import Place
from plugins.shared.keyword_query import Query, Term

# Ranking by rarity costs time for every match and says little where there are so many: then the newest come first.
_RANKED_MAX = 5000
# All words in the name, all in the path, some only in the text.
_TIERS = ("name", "name path", "name path body")
_ROW = "files.id, folders.path, files.name, folders.root, files.hidden"
_KEPT_CONNECTIONS = 4


class Hit(NamedTuple):
    """One file that was found.

    Args:
        path: where it is, or was when it was indexed.
        root: the chosen folder that it is in.
        hidden: whether it or a folder on the way to it is hidden.
        in_text: whether it takes its text to match.
    """

    path: bytes
    root: bytes
    hidden: bool
    in_text: bool


class Reader:
    """Searches the index; for many threads at once.

    Args:
        place: where it lies.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._idle: list[tuple[tuple[int, int] | None, sqlite3.Connection]] = []
        self._closed = False

    def close(self) -> None:
        """Let go of the file; calling it twice is safe."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    @contextlib.contextmanager
    def hits(self, query: Query, limit: int) -> Iterator[Iterator[Hit]]:
        """All files that match, the best first.

        Args:
            query: what was typed.
            limit: how many are likely to be taken; taking more costs another look.

        Raises:
            sqlite3.Error: there is no index, or it is damaged.
        """
        with self._connection() as connection:
            yield _hits(connection, query, max(limit, 1))

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        identity = self._place.identity()
        if identity is None:
            raise sqlite3.OperationalError(f"there is no {self._place.file}")
        connection = None
        with self._lock:
            while self._idle and connection is None:
                opened, candidate = self._idle.pop()
                if opened == identity:
                    connection = candidate
                else:  # the file has been made anew
                    candidate.close()
        if connection is None:
            connection = self._place.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._closed and len(self._idle) < _KEPT_CONNECTIONS:
                self._idle.append((identity, connection))
                return
        connection.close()


def _hits(connection: sqlite3.Connection, query: Query, limit: int) -> Iterator[Hit]:
    seen: set[int] = set()
    for select, arguments, in_text in _selects(connection, query, seen):
        wanted = limit + len(seen)
        while True:
            rows = connection.execute(select, (*arguments, wanted)).fetchall()
            for file_id, folder, name, root, hidden in rows:
                if file_id not in seen:
                    seen.add(file_id)
                    yield Hit(os.path.join(folder, name), root, bool(hidden), in_text)
            if len(rows) < wanted:
                break
            wanted *= 4


def _selects(
    connection: sqlite3.Connection, query: Query, seen: set[int]
) -> Iterator[tuple[str, Sequence[object], bool]]:
    """The selections to make one after the other, each made only when those before it gave too little."""
    worded = [term for term in query.required if term.tokens]
    without = " OR ".join(map(_phrase, query.excluded))
    for tier in _TIERS if worded else ():
        wanted = " AND ".join(map(_phrase, worded))
        match = f"({{{tier}}} : ({wanted}))" + (f" NOT ({without})" if without else "")
        in_text = tier == _TIERS[-1]
        yield _worded(connection, match, in_text), (match,), in_text
    if any(term.exact for term in query.required) or (worded and seen):
        return
    # What no word begins with may still be somewhere in the path.
    conditions = ["instr(files.folded, ?)" for _ in query.required]
    arguments: list[object] = [term.text for term in query.required]
    if without:
        conditions.append("files.id NOT IN (SELECT rowid FROM words WHERE words MATCH ?)")
        arguments.append(without)
    # Without a condition the newest are read off the index by time; with one, sorting what is found is faster.
    order = "+files.modified_ns" if conditions else "files.modified_ns"
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    yield (
        f"SELECT {_ROW} FROM files JOIN folders ON folders.id = files.folder {where} ORDER BY {order} DESC LIMIT ?",
        arguments,
        False,
    )


def _worded(connection: sqlite3.Connection, match: str, in_text: bool) -> str:
    [(count,)] = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)", (match, _RANKED_MAX + 1)
    ).fetchall()
    if count > _RANKED_MAX:
        return (
            f"SELECT {_ROW} FROM files JOIN folders ON folders.id = files.folder"
            " WHERE +files.id IN (SELECT rowid FROM words WHERE words MATCH ?)"
            " ORDER BY files.modified_ns DESC LIMIT ?"
        )
    # BM25 counts a file's text into its length. What has the words in its name must not come later for a long text, so
    # there the name's own length decides; for words that occur once each, that is what BM25 comes to.
    order = "bm25(words, 10, 3, 1)" if in_text else "files.name_length"
    return (
        f"SELECT {_ROW} FROM words JOIN files ON files.id = words.rowid"
        " JOIN folders ON folders.id = files.folder WHERE words MATCH ?"
        f" ORDER BY {order}, files.modified_ns DESC LIMIT ?"
    )


def _phrase(term: Term) -> str:
    # Tokens hold nothing that means something to FTS5 inside of quotes.
    return f'"{" ".join(term.tokens)}"' + ("*" if term.open_end else "")
