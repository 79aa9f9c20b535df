"""`python -m benchmarks`, as `make bench` runs it, at the size that shows that it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_a_measurement_is_kept_and_reported(tmp_path: Path) -> None:
    assert main(["--size", "smoke", "--into", str(tmp_path), "door"]) == 0
    kept = json.loads((tmp_path / "docs/benchmarks/door.json").read_bytes())
    row = kept["figure"]["rows"][0]
    assert row["value"] > 0 and row["peer_value"] > 0
    there = kept["circumstances"]
    assert there["versions"]["Python"] == sys.version.split()[0]
    assert 0 <= there["noise"][1] <= 100, "how busy the processors were"
    text = (tmp_path / "docs/benchmarks.md").read_text(encoding="utf-8")
    prose = (ROOT / "benchmarks/prose/door.md").read_text(encoding="utf-8")
    assert prose.splitlines()[0] in text, "what was written by hand stands beside what was measured"
    assert f"| {row['what']['en']} |" in text
    assert "benchmarks/overview.svg" in text
    assert "<svg" in (tmp_path / "docs/benchmarks/overview.svg").read_text(encoding="utf-8")
