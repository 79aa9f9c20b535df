"""The harness of the benchmarks: what it says of figures must be right; the figures themselves are not tested."""

from __future__ import annotations

import re
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as harness
from benchmarks import document, load, machine, plots
from benchmarks.figures import Figure, Goal, Lines, Row, Series, Size, Spread, median, p99, worst
from benchmarks.peers import absence
from benchmarks.receivers import EVENT_MARK, counted
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


def test_what_is_asked_of_a_p99_is_judged_too() -> None:
    one = Row.of(
        PEER,
        "ms",
        [1.0] * 99 + [50.0],
        peer=PEER,
        peer_values=[2.0, 2.0],
        p99_goal=Goal(at_most=10, ratio=True),
    )
    assert (one.value, one.p99, one.ratio, one.p99_ratio) == (1.0, 50.0, 0.5, 25.0)
    assert one.met is False
    assert one.asked == "p99 ≤ 10 × ✗"
    assert worst([1.0, 2.0, 3.0], more_is_better=True) == 1.0


class TestReport:
    """What `make bench` writes, with benchmarks of the test."""

    @pytest.fixture
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An empty checkout with three benchmarks: one measures, one fails, one waits to be measured."""
        for name in ("README.md", "README.zh.md"):
            text = "before\n<!-- benchmarks:begin -->\nold\n<!-- benchmarks:end -->\nafter\n"
            (tmp_path / name).write_text(text, encoding="utf-8")
        prose = tmp_path / "prose"
        prose.mkdir()
        (prose / "index.md").write_text("# Figures\n<!-- figures -->\nThe end.\n")
        (prose / "good.md").write_text("How it is done.\n<!-- figures -->\nWhy it is slow.\n")
        monkeypatch.setattr(document, "PROSE", prose)
        monkeypatch.setattr(harness, "BENCHMARKS", ("good", "bad", "later"))
        monkeypatch.setattr(machine, "versions", lambda: {"Plugbay": "0", "Python": "3", "peer": "7.1"})
        for name in ("good", "bad", "later"):
            monkeypatch.setitem(sys.modules, f"benchmarks.{name}", ModuleType(name))
        self.measures("good", figure(2.0))
        self.measures("bad", OSError("no such peer | here"))
        return tmp_path

    @staticmethod
    def measures(name: str, outcome: Figure | Exception) -> None:
        """Let a benchmark have this outcome."""

        async def measure(size: Size) -> Figure:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        sys.modules[f"benchmarks.{name}"].measure = measure  # type: ignore[attr-defined]

    @staticmethod
    def run(root: Path, *arguments: str) -> tuple[int, str]:
        """The exit status and the document."""
        status = harness.main(["--size", "smoke", "--into", str(root), *arguments])
        return status, (root / "docs/benchmarks.md").read_text(encoding="utf-8")

    def test_has_figures_plots_prose_and_what_failed(self, root: Path) -> None:
        status, text = self.run(root, "good", "bad")
        assert status == 1
        assert text.startswith("# Figures\n") and text.endswith("\nThe end.\n")
        assert "| a thing | 2.00 ms | 3.00 ms | a peer | 1.00 ms |  | 2.00 × | ≤ 1.4 × ✗ |" in text
        assert "| ″ | ″ | ″ | a peer: not measured, it is not installed |  |  |  |  |" in text
        assert "Of 1 figures of which something is asked, 0 are as asked." in text
        assert "Plugbay 0 · Python 3 · peer 7.1" in text
        assert text.index("How it is done.") < text.index("| a thing |") < text.index("Why it is slow.")
        assert "OSError: no such peer | here" in text
        assert "Not measured yet." in text
        pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
        assert len(pictures) == 3
        for picture in pictures:
            drawn = ElementTree.parse(root / "docs" / picture).getroot()
            assert "Plugbay" in "".join(drawn.itertext())

    def test_keeps_what_was_measured_before_under_its_own_date(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plots, "overview", lambda figures: None)
        for day, outcome in (
            (1, figure(2.0, drawn=False)),
            (2, OSError("gone")),
            (3, figure(1.2, drawn=False)),
        ):
            monkeypatch.setattr(harness, "now", lambda day=day: datetime(2026, 12, day, tzinfo=UTC))
            self.measures("good", outcome)
            _, text = self.run(root, "good")
            assert "| a thing | 1.20 ms" in text if day == 3 else "| a thing | 2.00 ms" in text
            assert ("It did not come to its end on 2026-12-02" in text) == (day == 2)
            assert ("Measured 2026-12-01" in text) == (day < 3)
        self.measures("later", figure(1.0, drawn=False))
        _, text = self.run(root, "later")
        assert "Measured 2026-12-03" in text
        assert text.count("| a thing |") == 2
        before = text
        assert harness.main(["--report", "--into", str(root)]) == 0
        assert (root / "docs/benchmarks.md").read_text(encoding="utf-8") == before

    def test_writes_the_table_between_the_marks_of_both_readmes(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plots, "overview", lambda figures: None)
        self.measures("good", figure(2.0, drawn=False))
        for _ in range(2):
            self.run(root, "good")
        english = (root / "README.md").read_text(encoding="utf-8")
        assert "| a thing | 2.00 ms (p99 3.00) | 1.00 ms, a peer | 2.00 × | ≤ 1.4 × ✗ |" in english
        assert english.startswith("before\n<!-- benchmarks:begin -->\n|")
        assert english.endswith("Python 3\n<!-- benchmarks:end -->\nafter\n")
        assert "old" not in english
        chinese = (root / "README.zh.md").read_text(encoding="utf-8")
        assert "| 测量 | 2.00 ms (p99 3.00) | 1.00 ms, 对照 |" in chinese
        assert english.count("| a thing |") == 1, "only that of which something is asked"


def figure(value: float, *, drawn: bool = True) -> Figure:
    """One thing beside a peer and beside one that is not there, with a plot of each kind where it is `drawn`."""
    what = Text(zh="测量", en="a thing")
    rows = [
        Row(what=what, value=value, p99=3.0, unit="ms", peer=PEER, peer_value=1.0, goal=Goal(at_most=1.4, ratio=True)),
        Row(what=what, value=value, p99=3.0, unit="ms", peer=PEER, absent=Text(zh="未安装", en="it is not installed")),
    ]  # fmt: skip
    own = Text(zh="Plugbay", en="Plugbay")
    series = [
        Series(label=own, values=[1.0, 2.0], ours=True),
        Series(label=PEER, values=[1.5, None], upper=[2, None]),
    ]
    if not drawn:
        return Figure(what, rows, [PEER])
    lines = Lines(title=what, x=[1, 1000], x_label=PEER, unit="ms", series=series)
    return Figure(what, rows, [PEER], lines=[lines], spreads=[Spread(title=what, unit="ms", series=series)])


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


@pytest.mark.parametrize("size", [1, 2, 7, 23, 64])
def test_an_event_that_comes_in_pieces_is_counted_once(size: int) -> None:
    text = (b'\x81~{"type":' + EVENT_MARK + b'reloaded"}') * 5
    rest, events = b"", 0
    for at in range(0, len(text), size):
        found, rest = counted(rest + text[at : at + size])
        events += found
    assert events == 5


def test_a_request_whose_server_goes_away_counts_until_it_is_answered() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as first:
                first.recv(4096)
            with listening.accept()[0] as second:
                while second.recv(4096):
                    second.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        told = load.paced(listening.getsockname()[1], "/", rate=1000, seconds=0.005)
        server.join(10)
    assert told["lost"] == 1
    assert len(told["ms"]) == 5


def test_a_peer_that_is_not_there_is_named_in_both_languages() -> None:
    assert absence(libraries=("pytest",), programs=("sh",)) is None
    reason = absence(libraries=("no-such-library", "pytest"), programs=("no-such-program",))
    assert reason is not None
    assert reason.en == "no-such-library, no-such-program not installed"
    assert reason.zh == "未安装 no-such-library、no-such-program"
