"""A clock that a test sets for a server alone, forward and back, while it runs.

No namespace has a time of day of its own, and a test must not set the machine's: the server runs with a library before
the C library that shifts it (`clock.c`). The times of files are the kernel's and stay as they are.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path


class Clock:
    """See the module.

    Args:
        folder: for the library.

    Attributes:
        environ: what the server is started with; empty where there is no C compiler to make the library with.
    """

    def __init__(self, folder: Path) -> None:
        self.environ: dict[str, str] = {}
        self._shift = folder / "shift"
        if (compiler := shutil.which("cc") or shutil.which("gcc")) is None:
            return
        library, source = folder / "clock.so", Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        self._shift.write_bytes(struct.pack("q", 0))
        self.environ = {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(self._shift)}

    def set(self, seconds: int) -> None:
        """Have it go so many seconds before the machine's, or behind it."""
        with self._shift.open("r+b") as file:
            file.write(struct.pack("q", seconds))
