"""Promises of the files around the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def compose_command() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], capture_output=True).returncode
        ):
            return command
    return None


def test_the_compose_file_is_valid() -> None:
    command = compose_command()
    if command is None:
        pytest.skip("there is no docker compose")
    done = subprocess.run(
        [*command, "-f", "docker-compose.yml", "config"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [service] = yaml.safe_load(done.stdout)["services"].values()
    assert service["cap_drop"] == ["ALL"]
    [port] = service["ports"]
    assert "127.0.0.1" in json.dumps(port), "published to this machine only"


def test_the_image_is_not_root_and_has_an_init() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    last_stage = lines[max(index for index, line in enumerate(lines) if line.startswith("FROM ")) :]
    instructions = dict(line.split(" ", 1) for line in last_stage if re.match(r"[A-Z]+ ", line))
    assert instructions["USER"] == "plugbay"
    assert json.loads(instructions["ENTRYPOINT"])[:2] == ["tini", "--"]
    assert "/livez" in instructions["HEALTHCHECK"]


def test_what_the_image_copies_is_let_through() -> None:
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    for path in " ".join(copied).split():
        assert any(
            path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in let_through
        ), path
        assert (ROOT / path).exists(), path


def test_both_readmes_show_the_same_commands() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")]
    assert len({tuple(re.findall(r"\$ make \w+", text)) for text in texts}) == 1
    assert len({text.count("\n## ") for text in texts}) == 1
    assert len({tuple(re.findall(r"`(plugbay \w+)", text)) for text in texts}) == 1


@pytest.mark.parametrize("name", ["README.md", "README.zh.md", "CHANGELOG.md"])
def test_links_between_files_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target


def test_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make (\w+)", (ROOT / "README.md").read_text())) - {"and"} <= targets
    assert {"setup", "run", "test", "soak", "bench"} <= targets
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert "make test" in (ROOT / ".ci/run").read_text()


def test_every_runtime_dependency_is_forbidden_beside_plugins() -> None:
    wanted = {canonicalize_name(Requirement(line).name) for line in PYPROJECT["project"]["dependencies"]}
    names = {
        module
        for module, distributions in packages_distributions().items()
        if wanted & {canonicalize_name(one) for one in distributions} and not module.startswith("_")
    }
    [contract] = [
        one for one in PYPROJECT["tool"]["importlinter"]["contracts"] if "standard library" in one["name"]
    ]
    assert names <= set(contract["forbidden_modules"])


def test_test_only_packages_are_not_needed_to_run() -> None:
    runtime = " ".join(PYPROJECT["project"]["dependencies"])
    for name in ("websockets", "pytest", "playwright", "blockbuster"):
        assert name not in runtime


def test_every_test_that_the_threat_model_names_is_there() -> None:
    text = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    tests = set(re.findall(r"`(test_\w+)`", text))
    classes = set(re.findall(r"`(Test\w+)`", text))
    assert files and tests and classes
    assert not [file for file in files if not (ROOT / file).is_file()]
    there = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    assert not [test for test in tests if f"def {test}(" not in there]
    assert not [one for one in classes if f"class {one}:" not in there]
