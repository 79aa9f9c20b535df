"""What went wrong in a worker, described for the plugin's author: place, reason, remedy, and no frame of ours."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_OWN_FOLDER = str(Path(__file__).parent) + os.sep
# A character is six bytes where it has to be escaped, and a message is told in three places.
_TEXT_MAX_LENGTH = 16 * 1024
_TRACEBACK_MAX_LENGTH = 64 * 1024
_NAME_MAX_LENGTH = 200
# As the interpreter has it, whatever a metaclass says.
_name_of_class = type.__dict__["__name__"].__get__


class ContractBroken(Exception):
    """The plugin is not what the interface asks for.

    Args:
        code: stable name of the case.
        zh, en: what is wrong and what to do.
        line: where, in the plugin's file; counts from 1.
    """

    def __init__(self, code: str, zh: str, en: str, line: int | None = None) -> None:
        super().__init__(en)
        self.code = code
        self.zh = zh
        self.en = en
        self.line = line


class Describer:
    """Describes exceptions with paths relative to the server's home.

    Args:
        home: the folder that paths are made relative to.
        file: the plugin's own file, for faults without a place of their own.
    """

    def __init__(self, home: str, file: str) -> None:
        self._prefix = home.rstrip(os.sep) + os.sep
        self._file = file

    def fault(self, stage: str, error: BaseException) -> dict[str, Any]:
        """The error of a load, in the shape of the interface, with `messages` in both languages."""
        if isinstance(error, ContractBroken):
            return self._described(
                stage, error.code, "", error.zh, error.en, self._file, error.line, None, traceback_text=None
            )
        file, line, column = self._place(error)
        kind = _kind_of(error)
        zh, en = _explain(error, kind)
        code = "syntax_error" if _is(error, SyntaxError) else f"{stage}_failed"
        return self._described(
            stage, code, kind, zh, en, file, line, column, traceback_text=self.traceback_of(error)
        )

    def disturbed(self, stage: str, error: BaseException) -> dict[str, Any]:
        """The error of a load that broke in the worker itself, which only a plugin can bring about."""
        try:
            shown = f"{_kind_of(error)}: {_text_of(error)}"
        except BaseException:  # what is left of the interpreter may do anything
            shown = "?"
        return self._described(
            stage,
            f"{stage}_failed",
            "",
            f"插件改动了工作进程自身要用的东西，或抛出了无法描述的异常（{shown}）；请删除这一做法",
            "The plugin changed what its worker itself works with, or raised what cannot be described "
            f"({shown}); remove that",
            self._file,
            None,
            None,
            traceback_text=None,
        )

    def stuck(self, stage: str, code: str, zh: str, en: str, frame: FrameType | None) -> dict[str, Any]:
        """The error of a load that did not come to an end, with the place where it stood."""
        stack = traceback.StackSummary.from_list(self._from_plugin_on(traceback.extract_stack(frame)))
        place = next((item for item in reversed(stack) if item.filename.startswith(self._prefix)), None)
        text = "Traceback (most recent call last):\n" + "".join(stack.format()) if stack else None
        return self._described(
            stage,
            code,
            "TimeoutError" if code.endswith("_timeout") else "",
            zh,
            en,
            place.filename if place else self._file,
            place.lineno if place else None,
            place.colno + 1 if place is not None and place.colno is not None else None,
            traceback_text=text,
        )

    def raised(self, error: BaseException) -> dict[str, Any]:
        """What a call raised: `{type, message, traceback, file, line}`."""
        file, line, _ = self._place(error)
        return {
            "type": _kind_of(error),
            "message": _cut(_text_of(error)),
            "traceback": self.traceback_of(error),
            "file": self._relative(file),
            "line": line,
        }

    def traceback_of(self, error: BaseException) -> str:
        """The traceback without the frames of the worker itself."""
        try:
            summary = traceback.TracebackException.from_exception(error, compact=True)
            self._drop_own_frames(summary)
            text = "".join(summary.format())
        except Exception as failure:  # an exception of a plugin's own making may have anything for its parts
            text = f"<the traceback cannot be formatted: {_kind_of(failure)}>\n"
        return _cut(self._relative_text(text), _TRACEBACK_MAX_LENGTH)

    def _drop_own_frames(self, summary: traceback.TracebackException) -> None:
        seen: set[int] = set()
        pending: list[traceback.TracebackException | None] = [summary]
        while pending:
            item = pending.pop()
            if item is None or id(item) in seen:
                continue
            seen.add(id(item))
            item.stack = traceback.StackSummary.from_list(self._from_plugin_on(item.stack))
            pending += [item.__cause__, item.__context__, *(getattr(item, "exceptions", None) or ())]

    def _from_plugin_on(self, stack: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
        """The frames from the first plugin-side one on: what comes before is how we came to call it."""
        for index, item in enumerate(stack):
            if item.filename.startswith(self._prefix) and self._is_foreign(item.filename):
                return [one for one in stack[index:] if self._is_foreign(one.filename)]
        return []

    def _is_foreign(self, filename: str) -> bool:
        return not filename.startswith((_OWN_FOLDER, "<frozen importlib"))

    def _place(self, error: BaseException) -> tuple[str | None, int | None, int | None]:
        """File, line and column, both from 1: where the text is wrong, or the last plugin-side frame."""
        if _is(error, SyntaxError) and (told := self._told_place(error)) is not None:
            return told
        found: tuple[str, int | None, int | None] | None = None
        for frame in _frames(error.__traceback__):
            filename = frame.tb_frame.f_code.co_filename
            if filename.startswith(self._prefix) and self._is_foreign(filename):
                found = (filename, frame.tb_lineno, _column(frame))
        return found if found is not None else (self._file, None, None)

    def _told_place(self, error: Any) -> tuple[str, int, int | None] | None:
        """Where a syntax error says that it is; None where that is no place in a plugin's files.

        A text that was compiled by the plugin has none, and one that was raised by hand may say anything.
        """
        file, line, column = error.filename, error.lineno, error.offset
        if type(file) is not str or not file.startswith(self._prefix) or not _counts(line):
            return None
        return file, line, column if _counts(column) else None

    def _described(
        self,
        stage: str,
        code: str,
        kind: str,
        zh: str,
        en: str,
        file: str | None,
        line: int | None,
        column: int | None,
        *,
        traceback_text: str | None,
    ) -> dict[str, Any]:
        zh, en = _cut(self._relative_text(zh)), _cut(self._relative_text(en))
        return {
            "stage": stage,
            "code": code,
            "type": kind,
            "message": zh,
            "messages": {"zh": zh, "en": en},
            "file": self._relative(file),
            "line": line,
            "column": column,
            "traceback": None
            if traceback_text is None
            else _cut(self._relative_text(traceback_text), _TRACEBACK_MAX_LENGTH),
            "generation": None,
        }

    def _relative(self, path: str | None) -> str | None:
        return None if path is None else path.removeprefix(self._prefix)

    def _relative_text(self, text: str) -> str:
        return text.replace(self._prefix, "")


def _is(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether it is of that kind, whatever it says of its class."""
    return issubclass(type(error), kind)


def _kind_of(error: BaseException) -> str:
    name: str = _name_of_class(type(error))
    return _cut(name, _NAME_MAX_LENGTH)


def _counts(number: object) -> bool:
    """Whether it can be a line or a column."""
    return type(number) is int and 0 < number < 10**9


def _explain(error: BaseException, kind: str) -> tuple[str, str]:
    text = _text_of(error)
    if _is(error, SystemExit):
        return (
            f"插件在加载时调用了 sys.exit（{text or 0}），请删除这一调用",
            f"The plugin called sys.exit({text}) while it was loaded; remove that call",
        )
    if _is(error, MemoryError):
        return (
            f"插件在加载时用尽了内存上限 {text}".strip(),
            f"The plugin ran into its memory limit while it was loaded {text}".strip(),
        )
    if _is(error, SyntaxError):
        return f"语法错误：{text}", f"{kind}: {text}"
    described = f"{kind}: {text}" if text else kind
    if _is(error, PermissionError):
        return (
            f"{described}（插件只能使用自己的数据目录，以及获准的文件夹和网络；"
            "需要更多时，在 [tool.plugbay] 中声明 read、write 或 network）",
            f"{described} (a plugin has its own data folder, and the folders and the network that it was granted; ask "
            "for more in [tool.plugbay]: read, write, network)",
        )
    return described, described


def _text_of(error: Any) -> str:
    try:
        return str(error.msg if _is(error, SyntaxError) else error)
    except BaseException as failure:  # a plugin's own __str__ may do anything
        return f"<its __str__ raised {_kind_of(failure)}>"


def _frames(tb: TracebackType | None) -> Iterator[TracebackType]:
    while tb is not None:
        yield tb
        tb = tb.tb_next


def _column(frame: TracebackType) -> int | None:
    positions = list(frame.tb_frame.f_code.co_positions())
    index = frame.tb_lasti // 2
    column = positions[index][2] if 0 <= index < len(positions) else None
    return None if column is None else column + 1


def _cut(text: str, length: int = _TEXT_MAX_LENGTH) -> str:
    text = text[: length + 1].encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= length else text[:length] + "…"


def main_thread_frame() -> FrameType | None:
    """Where the main thread stands."""
    import threading

    return sys._current_frames().get(threading.main_thread().ident or 0)
