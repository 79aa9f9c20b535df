"""Why a change is not made or not undone, and why a revision is not kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import PlugbayError, RequestRefused
from service.model.text import Text


class ChangeNotFound(RequestRefused):
    """There is no such change, or it is so old that it is not kept any more."""

    code = "change_not_found"

    def __init__(self, id: str) -> None:
        super().__init__(
            Text(
                zh=f"没有编号为 {id} 的更改（可能已超过保留数量），请查看更改记录",
                en=f"There is no change {id}, or it is too old to be kept; look at the list of changes",
            )
        )


class ChangeSuperseded(PlugbayError):
    """What a change left is not what is there any more, so it cannot be undone; nothing was changed."""

    code = "change_superseded"

    def __init__(self, what: str, *, zh: str, en: str) -> None:
        super().__init__(
            Text(
                zh=f"{what} {zh}；没有做任何更改",
                en=f"{what} {en}; nothing was changed",
            ),
            what=what,
        )


class ChangeNotSaved(PlugbayError):
    """The disk refused a step; all was undone, or will be at the next start where `undone` is false."""

    code = "change_not_saved"


def changed(what: str) -> ChangeSuperseded:
    """Something does not hold what is expected."""
    return ChangeSuperseded(
        what,
        zh="已不是预期的内容（之后又被修改过）",
        en="does not hold what is expected: it was changed since",
    )


def not_saved(error: Exception) -> ChangeNotSaved:
    """What the disk refused."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    where = getattr(error, "filename", None)
    name = f" ({Path(str(where)).name})" if where else ""
    return ChangeNotSaved(
        Text(
            zh=f"无法保存更改{name}：{reason}；没有做任何更改，请检查磁盘空间与权限后重试",
            en=f"The change cannot be saved{name}: {reason}; nothing was changed. Check the disk's space and the "
            "permissions, then try again",
        )
    )


@contextmanager
def saving() -> Iterator[None]:
    """Tell of what the disk refuses in the block as ChangeNotSaved."""
    try:
        yield
    except OSError as error:
        raise not_saved(error) from error


class RevisionsNotKept(PlugbayError):
    """The disk refused to keep a revision."""

    code = "revision_not_kept"


def not_kept(error: OSError) -> RevisionsNotKept:
    """What the disk refused of a revision."""
    reason = error.strerror or str(error)
    return RevisionsNotKept(
        Text(
            zh=f"无法保留插件版本（data/revisions：{reason}），请检查磁盘空间与权限",
            en=f"The revision cannot be kept (data/revisions: {reason}); check the disk's space and permissions",
        )
    )
