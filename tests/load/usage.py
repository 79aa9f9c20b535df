"""What the processes of a server take: memory and descriptors, by what they are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.integration.process_tree import children, descendants, open_files, template_of


class Usage(NamedTuple):
    """Memory in bytes (PSS: shared pages by their share), descriptors, and how many processes."""

    memory: int
    descriptors: int
    processes: int

    def __str__(self) -> str:
        return f"{self.memory / 1e6:.1f} MB, {self.descriptors} descriptors, {self.processes} processes"


def usage(server: int) -> dict[str, Usage]:
    """Of the server, of its template, and of all that the template forked."""
    template = template_of(server)
    return {
        "server": _of({server}),
        "template": _of({template}),
        "workers": _of(descendants(template)),
        "others": _of(children(server) - {template}),
    }


def _of(pids: set[int]) -> Usage:
    found = [(_pss(pid), open_files(pid)) for pid in pids if Path(f"/proc/{pid}/fd").exists()]
    return Usage(sum(memory for memory, _ in found), sum(files for _, files in found), len(found))


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
