"""The harness of the benchmarks: what it says of figures must be right; the figures themselves are not tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.figures import Figure, Goal, Row, median, p99
from benchmarks.report import markdown, write_readmes
from benchmarks.sources import LINES, catalogue, rename_into
from service.model.text import Text

PEER = Text(zh="对照", en="a peer")


def row(value: float, peer_value: float | None = None, goal: Goal | None = None) -> Row:
    return Row(
        what=Text(zh="测量", en="a thing"),
        value=value,
        unit="ms",
        peer=PEER if peer_value else None,
        peer_value=peer_value,
        goal=goal,
    )


@pytest.mark.parametrize(
    ("one", "met"),
    [
        (row(1.4, 1.0, Goal(at_most=1.4, ratio=True)), True),
        (row(1.5, 1.0, Goal(at_most=1.4, ratio=True)), False),
        (row(4.0, 10.0, Goal(at_least=0.5, ratio=True)), False),
        (row(9.9, 1.0, Goal(at_most=10)), True),
        (row(10.1, 100.0, Goal(at_most=10)), False),
        (row(1.0, None, Goal(at_most=1.4, ratio=True)), False),
        (row(1.0), None),
    ],
)
def test_a_goal_is_of_the_ratio_or_of_the_value(one: Row, met: bool | None) -> None:
    assert one.met is met


def test_the_99th_percentile_leaves_one_in_a_hundred_above() -> None:
    values = [float(value) for value in range(1000, 0, -1)]
    assert sum(value > p99(values) for value in values) == 9
    assert p99([3.0, 1.0]) == 3.0
    assert median(values) == 500.5


def test_the_table_stands_between_the_marks_of_both_readmes(tmp_path: Path) -> None:
    for name in ("README.md", "README.zh.md"):
        text = "before\n<!-- benchmarks:begin -->\nold\n<!-- benchmarks:end -->\nafter\n"
        (tmp_path / name).write_text(text, encoding="utf-8")
    figure = Figure(Text(zh="题", en="title"), [row(2.0, 1.0, Goal(at_most=1.4, ratio=True))])
    for _ in range(2):
        write_readmes(tmp_path, [figure], "the machine")
    english = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| a thing | 2.00 ms | 1.00 ms, a peer | 2.00 × | ≤ 1.4 × ✗ |" in english
    assert english.startswith("before\n<!-- benchmarks:begin -->\n|")
    assert english.endswith("the machine\n<!-- benchmarks:end -->\nafter\n")
    assert "| 测量 | 2.00 ms | 1.00 ms, 对照 |" in (tmp_path / "README.zh.md").read_text(encoding="utf-8")
    assert "old" not in english
    assert markdown([figure], "zh", "").count("\n") == 5


def test_the_plugin_that_is_measured_has_200_lines_and_runs(tmp_path: Path) -> None:
    source = catalogue("demo", "1.0.7")
    assert source.count(b"\n") == LINES
    path = tmp_path / "demo_plugin.py"
    rename_into(path, source)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec(compile(path.read_bytes(), path, "exec"), namespace)
    plugin = namespace["CataloguePlugin"]
    assert getattr(plugin, "version", None) == "1.0.7"
