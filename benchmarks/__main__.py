"""`python -m benchmarks [NAME…]`: measures, prints a table for each, and writes the report."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from rich.console import Console

from benchmarks import document, machine, report
from benchmarks.figures import Figure, Size
from benchmarks.processes import ROOT
from benchmarks.results import Circumstances, Failure, Result, Results, commit, now

BENCHMARKS = (
    "reload",
    "dependencies",
    "install",
    "steady",
    "memory",
    "startup",
    "calls",
    "door",
    "fanout",
    "resume",
    "tasks",
    "download",
    "dashboard",
)
# Each by itself takes some minutes at most; one that hangs must not keep the others from being measured.
_LIMIT_S = {Size.SMOKE: 300.0, Size.NORMAL: 600.0, Size.FULL: 7200.0}
_LINES_TOLD = 3

Measure = Callable[[Size], Awaitable[Figure]]


def main(arguments: Sequence[str] | None = None) -> int:
    """The program.

    Returns:
        0, or 1 where a benchmark did not come to its end. A figure that is not as asked is in the report.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Plugbay's figures.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument("--size", type=Size, default=Size.NORMAL, choices=list(Size))
    parser.add_argument(
        "--into",
        type=Path,
        metavar="DIR",
        help="where docs/benchmarks.md, its results and the tables of the READMEs are written: this checkout by "
        "default, and nowhere for size smoke",
    )
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report anew")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    if chosen.report:
        _write(chosen.into or ROOT)
        return 0
    root: Path | None = chosen.into or (None if chosen.size is Size.SMOKE else ROOT)
    names = [name for name in BENCHMARKS if not chosen.names or name in chosen.names]
    try:
        all_done = run(names, chosen.size, root)
    finally:
        # Also of what was measured before somebody put an end to it.
        if root is not None:
            _write(root)
    return int(not all_done)


def run(names: Sequence[str], size: Size, root: Path | None) -> bool:
    """Measure one after the other, print each and keep it as it is done.

    Args:
        names: of the benchmarks.
        size: how much is measured.
        root: the folder in which results are kept, if they are.

    Returns:
        whether all came to their end.
    """
    console = Console(width=None if sys.stdout.isatty() else 160)
    described, versions = machine.described(), machine.versions()
    console.print(described, highlight=False, soft_wrap=True)
    console.print(", ".join(f"{name} {one}" for name, one in versions.items()), style="dim", soft_wrap=True)
    all_done = True
    for name in names:
        there = Circumstances(
            at=now(),
            commit=commit(ROOT),
            size=size,
            machine=described,
            noise=machine.noise(),
            versions=versions,
        )
        result = _measured(name, size, there)
        if result.failure is not None:
            all_done = False
            console.print(f"{name} did not come to its end: {result.failure.message}", style="red")
        if result.figure is not None:
            report.print_figure(console, result.figure)
        console.print(
            f"  {result.took_s:.0f} s; before it: {there.noise.said.en}\n", style="dim", soft_wrap=True
        )
        if root is not None:
            kept = Results(_results(root))
            if result.figure is None:
                # What was measured before stays, under its own date.
                result = replace(kept.of(name), failure=result.failure)
            kept.keep(result)
    return all_done


def _measured(name: str, size: Size, there: Circumstances) -> Result:
    began = time.perf_counter()
    try:
        measure: Measure = import_module(f"benchmarks.{name}").measure
        figure = asyncio.run(_within(measure, size))
    except Exception as error:
        # Whatever it is: it is told, and the others are measured all the same.
        traceback.print_exc()
        return Result(
            name=name,
            took_s=time.perf_counter() - began,
            failure=Failure(circumstances=there, message=_said(error)),
        )
    return Result(name=name, figure=figure, circumstances=there, took_s=time.perf_counter() - began)


def _said(error: Exception) -> str:
    """What is told of an error: how it begins and ends, since a server's last words may be in it."""
    lines = f"{type(error).__name__}: {error}".replace(str(ROOT), ".").strip().splitlines()
    return "\n".join(
        lines if len(lines) <= 2 * _LINES_TOLD else [*lines[:_LINES_TOLD], "…", *lines[-_LINES_TOLD:]]
    )


async def _within(measure: Measure, size: Size) -> Figure:
    limit = asyncio.timeout(_LIMIT_S[size])
    try:
        async with limit:
            return await measure(size)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"it was not through after {_LIMIT_S[size]:g} s") from error


def _write(root: Path) -> None:
    """The report and the tables, of all that was measured so far."""
    kept = Results(_results(root))
    results = [kept.of(name) for name in BENCHMARKS]
    document.write(root / "docs", results)
    report.write_readmes(root, results)


def _results(root: Path) -> Path:
    return root / "docs" / "benchmarks"


if __name__ == "__main__":
    # Servers that run are ended, and what was measured is reported, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
