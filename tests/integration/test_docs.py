"""The documents: what they show is run, what they name is there, and what is generated is up to date."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.api.problems import KINDS
from service.settings import describe_settings
from service.settings_reading import load_settings
from service.workbench.remedies import REMEDIES
from tests import settings_document
from tests.integration.guide import Reader, steps_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OURS = ("README.md", "quick-start.md", "quick-start.zh.md", "plugin-guide.md", "sdk.md", "troubleshooting.md")


# Nothing that a document shows asks a package registry.
ENVIRON = {"UV_NO_INDEX": "1"}


def test_the_quick_start(tmp_path: Path) -> None:
    with Reader(tmp_path, ENVIRON, {}) as reader:
        reader.follow("quick-start.md")


def test_the_quick_start_in_chinese(tmp_path: Path) -> None:
    # In a process of its own: the command line has one language from its start.
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.guide", "quick-start.zh.md", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **ENVIRON, "PLUGBAY_LANG": "zh"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(180)
@pytest.mark.parametrize("document", ["plugin-guide.md", "sdk.md"])
def test_the_guides(document: str, tmp_path: Path) -> None:
    (tmp_path / "plugbay/plugins").mkdir(parents=True)  # so that no bundled plugins have to load first
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "work"))
    # pytest is run with our plugin alone, which is quicker than with all that this environment has.
    environ = {**ENVIRON, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p plugbay"}
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        addresses = {"https://example.org/notes": f"http://127.0.0.1:{site.server_port}/notes"}
        with Reader(tmp_path, environ, addresses) as reader:
            reader.follow(document)
        site.shutdown()


def _verb(command: str) -> list[str]:
    words = command.split()
    return words[: 2 if words[0] == "plugbay" else 1]


def test_both_quick_starts_go_the_same_way() -> None:
    texts = [(DOCS / name).read_text(encoding="utf-8") for name in ("quick-start.md", "quick-start.zh.md")]
    assert len({text.count("\n## ") for text in texts}) == 1
    names = [
        [step.text.split("'")[0] for step in steps_of(name) if step.file is None]
        for name in ("quick-start.md", "quick-start.zh.md")
    ]
    assert len(names[0]) == len(names[1])
    assert [_verb(name) for name in names[0]] == [_verb(name) for name in names[1]]


def test_the_settings_are_up_to_date() -> None:
    written = settings_document.DOCUMENT.read_text(encoding="utf-8")
    assert written == settings_document.document(), "run: python -m tests.settings_document"


def test_every_setting_says_its_own() -> None:
    text = settings_document.DOCUMENT.read_text(encoding="utf-8")
    said = re.findall(r"^\| `\w+\.\w+` \|.*\| ([^|]*) \|$", text, re.MULTILINE)
    assert len(said) == len(set(said)) == len(describe_settings())
    assert all(re.match(r"[A-Z][^\u4e00-\u9fff]+\.$", one) for one in said), "a sentence in English"


def test_the_variables_that_are_shown_are_settings(tmp_path: Path) -> None:
    [step] = [step for step in steps_of("settings.md") if step.file is None]
    *variables, program, command = step.text.split()
    assert (program, command) == ("plugbay", "serve")
    settings = load_settings(tmp_path, dict(variable.split("=", 1) for variable in variables))
    assert settings.server.port == 9000
    assert settings.install.allowed_hosts == ["example.org", "example.net"]


@pytest.mark.parametrize("name", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_somewhere(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        file = (DOCS / target) if target else DOCS / name
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}, (
                anchor
            )


def test_the_index_names_every_document() -> None:
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} <= set(
        re.findall(r"\]\(([\w.-]+)\)", text)
    )
    for readme in ("README.md", "README.zh.md"):
        assert "docs/README.md" in (ROOT / readme).read_text(encoding="utf-8")


def test_troubleshooting_has_every_code() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    codes = set(KINDS) | set(REMEDIES)
    assert {code for code in codes if f"`{code}`" not in text} == set()
