"""A program that examines every broken plugin, and writes what came of it: `python -m tests.integration.examining DIR`.

It is one by itself since a bench, when it closes, ends all processes of other sessions below its own.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
from rich.console import Console

from service.cli import diagnostics
from service.host.workers.templates import Templates
from service.settings import Settings
from service.workbench.bench import Bench
from service.workbench.examination import Examiner
from service.workbench.report import Report
from service.workbench.targets import targets_of
from tests.integration.broken_plugins import FINE, FULL, LAYOUT, SLOW, TEXTS, line_of


class Seen(msgspec.Struct):
    report: Report
    file: str
    line: int | None
    printed: dict[str, str]


async def examine_all(folder: Path, disk: Path | None) -> dict[str, list[Seen]]:
    settings = Settings()
    short = msgspec.structs.replace(
        settings,
        limits=msgspec.structs.replace(settings.limits, load_s=1.0, start_s=0.5, self_check_s=0.5),
        dependencies=msgspec.structs.replace(settings.dependencies, timeout_s=1.0),
    )
    found = await examine_texts(folder / "usual", settings, TEXTS)
    found |= await examine_texts(folder / "slow", short, SLOW)
    if disk is not None:
        found |= await examine_texts(folder / "full", settings, FULL, disk)
    async with Bench(settings) as bench:
        for code, make in LAYOUT.items():
            file = folder / f"plugins/search/{code}_plugin.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            make(file)
            found[code] = [await look(bench, file, None)]
    found["worker_unavailable"] = [await examine_without_workers(folder)]
    return found


async def examine_texts(
    folder: Path, settings: Settings, texts: Mapping[str, list[str]], disk: Path | None = None
) -> dict[str, list[Seen]]:
    """Each in a folder of its own, some at a time: a machine that is busy would be late with the short limits."""
    places = asyncio.Semaphore(3)

    async def one(bench: Bench, code: str, number: int, text: str) -> Seen:
        file = folder / f"{code}{number}/plugins/search/broken_plugin.py"
        if "DownloadPlugin" in text:
            file = file.parents[1] / "download/broken_plugin.py"
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
        async with places:
            return await look(bench, file, line_of(text))

    async with Bench(settings, disk) as bench:
        cases = [(code, number, text) for code, all in texts.items() for number, text in enumerate(all)]
        reports = await asyncio.gather(*(one(bench, *case) for case in cases))
    found: dict[str, list[Seen]] = {}
    for (code, _, _), report in zip(cases, reports, strict=True):
        found.setdefault(code, []).append(report)
    return found


async def look(bench: Bench, file: Path, line: int | None) -> Seen:
    report = await Examiner(bench).examine(targets_of(file)[0])
    return Seen(report, str(file), line, {language: printed(report, language) for language in ("zh", "en")})


def printed(report: Report, language: str) -> str:
    """What a reader of that language sees in 80 columns of no terminal."""
    out = io.StringIO()
    diagnostics.told = lambda text: text.in_language(language)  # type: ignore[attr-defined]
    Console(file=out, width=80).print(diagnostics.report_text(report), soft_wrap=True)
    return out.getvalue()


async def examine_without_workers(folder: Path) -> Seen:
    """What is told on a machine that has no process left; root, who tests, has no such limit."""
    file = folder / "plugins/search/fine_plugin.py"
    file.write_text(FINE, encoding="utf-8")

    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    acquire = Templates.acquire
    async with Bench(Settings()) as bench:
        Templates.acquire = refuse  # type: ignore[assignment, method-assign]
        try:
            return await look(bench, file, line_of(FINE))
        finally:
            Templates.acquire = acquire  # type: ignore[method-assign]


def main() -> None:
    folder = Path(sys.argv[1])
    small = folder / "small"
    found = asyncio.run(examine_all(folder, small if small.is_mount() else None))
    (folder / "seen.json").write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
