"""A process that is killed at any step of a change leaves the old state or the new one, whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import homes
import pytest

from tests.rounds import SEED

ROOT = Path(__file__).parents[4]

# One of each kind of step, or every step there is.
EVERY = [
    pytest.param(False, id="some"),
    pytest.param(True, id="every", marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
]


@pytest.fixture(scope="module", params=EVERY)
def killed(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What came of kills, for each kind of change; in one process, that begins without threads and forks others."""
    with homes.in_memory() as folder:
        done = subprocess.run(
            [sys.executable, homes.__file__, str(folder), "every" if request.param else "some", str(SEED)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=800 if request.param else 55,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("kind", homes.KINDS)
def test_the_old_state_or_the_new_one(killed: dict[str, Any], kind: str) -> None:
    old, new, names, found = (killed[kind][part] for part in ("old", "new", "names", "found"))
    assert len(names) > 20
    assert len(found) >= len(set(names)) > 5
    assert len(new["changes"]) == len(old["changes"]) + 1
    assert new["journal"] == old["journal"] == []
    assert [one["state"] for one in found if one["state"] not in (old, new)] == []
    # From the step that records it, it is done; before that, nothing is.
    states = ["new" if one["state"] == new else "old" for one in found]
    assert states == sorted(states, reverse=True)
    assert (states[0], states[-1]) == ("old", "new")
    assert any(one["recovered"] for one in found)


def test_what_somebody_changed_meanwhile_stays(killed: dict[str, Any]) -> None:
    old, new, found = (killed["edited"][part] for part in ("old", "new", "found"))
    file = "search/demo_plugin.py"
    by_hand = "640 by hand\n"
    old["plugins"][file] = new["plugins"][file] = by_hand
    assert [one["state"] for one in found if one["state"] not in (old, new)] == []
    assert [False, [f"plugins/{file}"]] in [told for one in found for told in one["recovered"]]
    assert len(found) > 2
