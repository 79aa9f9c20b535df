"""`python -m benchmarks [NAME…]`: measures, prints a table for each, and says what was missed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks import machine, report
from benchmarks.figures import Figure, Size

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

Measure = Callable[[Size], Awaitable[Figure]]


def main() -> int:
    """The program.

    Returns:
        0, or 1 where a figure is not as asked.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Plugbay's figures.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument("--size", type=Size, default=Size.NORMAL, choices=list(Size))
    parser.add_argument("--write", action="store_true", help="put the table into both READMEs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    figures = asyncio.run(run(arguments.names or list(BENCHMARKS), arguments.size))
    if arguments.write:
        report.write_readmes(Path(__file__).parents[1], figures, machine.described().replace("\n", "; "))
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
    return int(any(row.met is False for figure in figures for row in figure.rows))


async def run(names: list[str], size: Size) -> list[Figure]:
    """Measure one after the other and print each as it is done."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(machine.described(), highlight=False, soft_wrap=True)
    figures = []
    for name in names:
        measure: Measure = import_module(f"benchmarks.{name}").measure
        before = await asyncio.to_thread(machine.noise)
        figure = await measure(size)
        figures.append(figure)
        report.print_figure(console, figure)
        console.print(f"  before it: {before}\n", style="dim", highlight=False, soft_wrap=True)
    return figures


if __name__ == "__main__":
    sys.exit(main())
