"""What Plugbay is measured beside, and why one of them may not be there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from benchmarks import machine
from service.model.text import Text


def absence(*, libraries: Sequence[str] = (), programs: Sequence[str] = ()) -> Text | None:
    """Why a peer that needs these cannot be measured; None where all of them are there."""
    missing = [name for name in libraries if machine.installed(name) == "-"]
    missing += [name for name in programs if shutil.which(name) is None]
    if not missing:
        return None
    return Text(zh=f"未安装 {'、'.join(missing)}", en=f"{', '.join(missing)} not installed")
