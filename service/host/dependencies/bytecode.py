"""Compiling a set's modules after it serves, when there is time: the next cold import of them is faster.

While installing it would cost several times what the rest does. Workers cannot do it: they may not write there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import structlog

from service.host.dependencies.running import Programs
from service.worker.confinement.policy import Policy

log = structlog.get_logger(__name__)

_LONGEST_SECONDS = 300.0
_NICE = 19


async def compile_modules(programs: Programs, folder: Path) -> bool:
    """Compile what is in `folder`, at the lowest priority; whether all was gone through.

    Compiling reads the modules and runs none. A set never changes, so the compiled files need no check against
    their sources.
    """
    arguments = [
        "-I",
        "-S",
        "-m",
        "compileall",
        "-qq",
        "-f",
        "--invalidation-mode",
        "unchecked-hash",
        str(folder),
    ]
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            # Its status only says whether some file does not compile, such as a template that is no module.
            await programs.run(
                [sys.executable, *arguments],
                folder=folder,
                environment=_environment(),
                policy=Policy(network=False),
                nice=_NICE,
            )
    except (OSError, TimeoutError) as error:
        log.warning("dependencies.not_compiled", set=folder.name, reason=str(error))
        return False
    return True


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
