"""The interface of plugins: what it offers, and that it needs nothing but the standard library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import service.sdk
from service.sdk import ConfigField, DownloadTask, SearchResult

ROOT = Path(__file__).parents[3]


def test_everything_offered_is_there_and_documented() -> None:
    assert set(service.sdk.__all__) == {
        "INTERFACE_VERSION",
        "ConfigField",
        "DownloadPlugin",
        "DownloadTask",
        "ParserPlugin",
        "Plugin",
        "SearchPlugin",
        "SearchResult",
    }
    for name in service.sdk.__all__:
        value = getattr(service.sdk, name)
        assert isinstance(value, int) or value.__doc__


def test_a_template_loads_no_third_party_module() -> None:
    program = (
        "import sys, importlib\n"
        "from service.worker import template\n"
        "[importlib.import_module(name) for name in template._PRELOADED]\n"
        "own = {'service', *sys.stdlib_module_names}\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} - own - {'__main__'}))"
    )
    # -S leaves site-packages away altogether, with what hooks itself in from there.
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.strip() == "[]"


async def test_models_dump_and_tasks_report() -> None:
    told: list[tuple[str, dict[str, object]]] = []

    async def send(kind: str, data: dict[str, object]) -> None:
        told.append((kind, data))

    field = ConfigField(name="servers", type="list", fields=[ConfigField(name="host")])
    assert field.model_dump()["fields"][0]["name"] == "host"
    assert SearchResult(title="t", url="u").model_dump()["metadata"] == {}
    task = DownloadTask(id="1", url="u", _send=send)
    await task.report(progress=50, total=10)
    await task.checkpoint({"at": 3})
    assert told == [("report", {"progress": 50, "total": 10}), ("checkpoint", {"at": 3})]
    assert not any(name.startswith("_") for name in task.model_dump())
    assert task.cancelled is False
