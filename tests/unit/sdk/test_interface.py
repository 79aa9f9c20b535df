"""The interface of plugins: what it offers, and that it needs nothing but the standard library."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.version import Version

import service.sdk
import service.sdk.testing
from service.sdk import INTERFACE_VERSION, ConfigField, DownloadTask, SearchResult

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


def test_the_version_has_a_major_and_a_minor_number() -> None:
    assert re.fullmatch(r"\d+\.\d+", INTERFACE_VERSION)
    assert Version(INTERFACE_VERSION) >= Version("1")


# What version 1.0 has. Nothing of it is ever removed, renamed or put in another order; what is added stands behind it.
SINCE_1_0 = {
    "Plugin": ["get_config_schema()", "set_config(config)", "start()", "stop()", "self_check()"],
    "SearchPlugin": ["get_video_info(url)"],
    "DownloadPlugin": ["get_web_ui_url()", "discard(task)"],
    "ParserPlugin": ["can_parse(url)"],
    "DownloadTask": [
        "report(progress, downloaded, total, speed, eta, message)",
        "checkpoint(state)",
        "model_dump()",
    ],
    "SearchResult": ["model_dump()"],
    "ConfigField": ["model_dump()"],
}
FIELDS_SINCE_1_0 = {
    SearchResult: "title url thumbnail duration platform description metadata",
    ConfigField: "name label type default required options description fields",
    DownloadTask: "id url title status progress plugin_name save_path metadata resume external_id error",
}


@pytest.mark.parametrize(("cls", "call"), [(cls, call) for cls, calls in SINCE_1_0.items() for call in calls])
def test_methods_stay(cls: str, call: str) -> None:
    name, _, wanted = call.rstrip(")").partition("(")
    there = list(inspect.signature(getattr(getattr(service.sdk, cls), name)).parameters.values())[1:]
    known = [one for one in wanted.split(", ") if one]
    assert [one.name for one in there[: len(known)]] == known
    assert all(one.default is not one.empty for one in there[len(known) :]), "an addition has a default"


@pytest.mark.parametrize("model", FIELDS_SINCE_1_0, ids=lambda model: model.__name__)
def test_fields_stay(model: type) -> None:
    known = FIELDS_SINCE_1_0[model].split()
    public = [one for one in dataclasses.fields(model) if not one.name.startswith("_")]
    assert [one.name for one in public][: len(known)] == known
    assert {name for name in ("cancelled", "paused") if hasattr(DownloadTask, name)} == {
        "cancelled",
        "paused",
    }


@pytest.mark.parametrize("module", [service.sdk, service.sdk.testing], ids=lambda module: module.__name__)
def test_what_is_offered_is_documented_and_in_the_reference(module: ModuleType) -> None:
    reference = (ROOT / "docs/sdk.md").read_text(encoding="utf-8")
    for name in module.__all__:
        value = getattr(module, name)
        assert f"`{name}" in reference, name
        if not inspect.isclass(value):
            continue
        assert value.__doc__, name
        for member, what in vars(value).items():
            if member.startswith("_") or not (inspect.isfunction(what) or isinstance(what, property)):
                continue
            assert what.__doc__, f"{name}.{member}"
            assert re.search(rf"\b{member}\b", reference), f"{name}.{member} is not in docs/sdk.md"


def test_the_wheel_has_the_types_and_what_authors_test_with() -> None:
    files = {one.distribution_path for one in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {"service/py.typed", "service/sdk/__init__.py", "service/sdk/testing/__init__.py"} <= files


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
