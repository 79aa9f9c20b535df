"""How tasks read: their states, sizes and times in words, and what went wrong in the reader's language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from rich.text import Text

from service.cli.language import LANGUAGE, say
from service.cli.output import message_of
from service.cli.readable import readable as readable

Task = Mapping[str, Any]

KINDS = {
    "search": say("搜索", "search"),
    "parse": say("解析", "parse"),
    "download": say("下载", "download"),
}
STATUSES = {
    "pending": (say("排队中", "pending"), "cyan"),
    "running": (say("进行中", "running"), "cyan"),
    "downloading": (say("下载中", "downloading"), "cyan"),
    "paused": (say("已暂停", "paused"), "yellow"),
    "completed": (say("已完成", "completed"), "green"),
    "failed": (say("失败", "failed"), "red"),
    "cancelled": (say("已取消", "cancelled"), "dim"),
    "handed_over": (say("已移交", "handed over"), "green"),
}
ID_MIN_CHARS = 8

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def short_id(task: Task) -> str:
    """The beginning of a task's id, which is enough to name it by."""
    return str(task["id"])[:ID_MIN_CHARS]


def name_of(task: Task) -> str:
    """What a task is called: its title, else what it is about, of an address the name in it."""
    return readable(task.get("title") or task.get("keyword") or _name_in(str(task.get("url") or "")))


def _name_in(url: str) -> str:
    """The file's name in an address, or the name that a magnet link gives; else the address."""
    try:
        parts = urlsplit(url)
        given = parse_qs(parts.query).get("dn", [""])[0] if parts.scheme == "magnet" else ""
    except ValueError:
        return url
    return given or unquote(parts.path.rstrip("/").rpartition("/")[2] if parts.netloc else "") or url


def status_text(task: Task) -> Text:
    """The status of a task in words and colour."""
    status = str(task.get("status"))
    word, style = STATUSES.get(status, (status, ""))
    return Text(word, style=style)


def size_text(size: float) -> str:
    """Bytes: `4617089843` as `4.3 GiB`."""
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_UNITS[-1]}"


def span_text(seconds: float) -> str:
    """Seconds: `3725` as `1:02:05`, and whole days where there are some."""
    if seconds >= _DAY_S:
        return say(f"{seconds / _DAY_S:.0f} 天", f"{seconds / _DAY_S:.0f} d")
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age_text(task: Task, now: datetime | None = None) -> str:
    """How long ago a task was made, in one unit: `5 m`."""
    made = moment_of(task.get("created_at"))
    if made is None:
        return ""
    seconds = max(0, int(((now or datetime.now(UTC)) - made).total_seconds()))
    for unit_s, zh, en in (
        (_DAY_S, "天", "d"),
        (_HOUR_S, "小时", "h"),
        (_MINUTE_S, "分", "m"),
        (1, "秒", "s"),
    ):
        if seconds >= unit_s or unit_s == 1:
            return say(f"{seconds // unit_s} {zh}", f"{seconds // unit_s} {en}")
    return ""


def moment_of(at: object) -> datetime | None:
    """A timestamp of the server."""
    if not isinstance(at, str):
        return None
    try:
        return datetime.fromisoformat(at)
    except ValueError:
        return None


def took_s(task: Task) -> float | None:
    """Seconds from a task's start to its end."""
    begun, ended = moment_of(task.get("started_at")), moment_of(task.get("completed_at"))
    return None if begun is None or ended is None else (ended - begun).total_seconds()


def took_text(task: Task) -> str:
    """From a task's start to its end: `4.0 s`, `12:30`; nothing where that is not known."""
    seconds = took_s(task)
    if seconds is None:
        return ""
    return say(f"{seconds:.1f} 秒", f"{seconds:.1f} s") if seconds < _MINUTE_S else span_text(seconds)


def percent_text(task: Task) -> str:
    """`62%`; nothing for what has not begun."""
    progress = number_of(task, "progress")
    return f"{progress:.0f}%" if progress else ""


def progress_text(task: Task) -> str:
    """`62.1%  620.5 MiB/1.0 GiB  12.3 MiB/s  0:32 left`, as far as it is known."""
    downloaded, total = number_of(task, "downloaded"), number_of(task, "total")
    speed, eta = number_of(task, "speed"), number_of(task, "eta")
    parts = []
    if (progress := number_of(task, "progress")) is not None and (progress or total):
        parts.append(f"{progress:5.1f}%")
    if downloaded is not None:
        parts.append(size_text(downloaded) + (f"/{size_text(total)}" if total else ""))
    if speed is not None:
        parts.append(f"{size_text(speed)}/s")
    if eta is not None:
        parts.append(say(f"剩余 {span_text(eta)}", f"{span_text(eta)} left"))
    return "  ".join(parts)


def number_of(task: Task, name: str) -> float | None:
    """A member that is a number, if it is one."""
    value = task.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def localised(task: Task) -> dict[str, Any]:
    """A task of an event, which is addressed to nobody, with its errors in the reader's language."""
    problem, told = task.get("problem"), dict(task)
    if isinstance(problem, dict):
        titles = problem.get("titles") or {}
        detail = message_of(problem) or str(problem.get("detail") or "")
        told["problem"] = problem | {
            "title": titles.get(LANGUAGE) or problem.get("title"),
            "detail": detail,
        }
        told["error"] = detail
    failures = [one for one in task.get("failures") or [] if isinstance(one, dict)]
    told["failures"] = [one | {"message": message_of(one)} for one in failures]
    return told


def failure_lines(task: Task) -> Iterator[Text]:
    """A line for each plugin that failed within a task, with its reason."""
    for failure in localised(task)["failures"]:
        name, reason = readable(failure.get("plugin")), readable(failure.get("message"))
        yield Text.assemble((say(f"{name} 失败", f"{name} failed"), "red"), say("：", ": "), reason)


def event_detail(data: Mapping[str, Any]) -> str:
    """What an event of a task tells, in a few words."""
    task = localised(data["task"])
    kind = str(task.get("kind"))
    detail = f" · {KINDS.get(kind, kind)}" + (f" {name_of(task)}" if name_of(task) else "")
    if results := data.get("results"):
        return detail + say(f"，{len(results)} 条", f", {len(results)} more")
    if task.get("status") == "downloading" and (progress := progress_text(task).strip()):
        return f"{detail}  {progress}"
    if error := readable(task.get("error")):
        return detail + say("：", ": ") + error
    return detail
