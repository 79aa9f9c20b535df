"""`plugbay check`: every error that loading can give, each provoked by a plugin, told with file, line and remedy."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.host.files.sources import Flaw
from service.workbench.remedies import REMEDIES
from tests.integration.broken_plugins import FINE, FULL, LAYOUT, SLOW, TEXTS
from tests.integration.examining import Seen
from tests.integration.forging import run_plugbay
from tests.registry import Behaviour, Registry

SERVICE = Path(__file__).parents[2] / "service"
# Codes of `service/host` and `service/worker` that no load gives, and who does.
NOT_OF_LOADING = {
    "crash_loop": "a plugin that loaded, and then crashed again and again",
    "not_text": "an install; a load says syntax_error",
    "not_confined": "a kernel or a container that refuses what it was said to have",
    "data_dir_unusable": "a disk of the server's that is full or read-only",
}
# By code: what no plugin by itself can bring about is tested by itself below.
BY_THEMSELVES = {"conflict"}
NO_WORKERS = "worker_unavailable"


# -- the codes that there are -----------------------------------------------------------------------------------------


def trees(*folders: str) -> list[tuple[Path, ast.Module]]:
    files = [file for folder in folders for file in sorted((SERVICE / folder).rglob("*.py"))]
    return [(file, ast.parse(file.read_text(encoding="utf-8"))) for file in files]


def places_of_codes(tree: ast.Module) -> dict[str, int]:
    """By name, the functions and classes that are given a code, and as which argument."""
    places = {}
    for node in ast.walk(tree):
        inner = [*node.body] if isinstance(node, ast.ClassDef) else [node]
        for one in inner:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [argument.arg for argument in one.args.args if argument.arg not in ("self", "cls")]
                if "code" in names:
                    places[node.name if one.name == "__init__" else one.name] = names.index("code")
    return places


def codes_in(file: Path, tree: ast.Module, places: dict[str, int]) -> set[str]:
    """The codes of errors that a module makes: texts where a code is given, with what is put into them."""
    found: set[str] = set()
    nodes = list(ast.walk(tree))
    # Those are of errors that requests meet.
    of_classes = {id(inner) for node in nodes if isinstance(node, ast.ClassDef) for inner in node.body}
    for node in nodes:
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in places and len(node.args) > places[name]:
                found |= texts_of(node.args[places[name]])
            if name in places or name in ("LoadError", "BadRequirement"):
                found |= {one for word in node.keywords if word.arg == "code" for one in texts_of(word.value)}
        elif isinstance(node, ast.Assign) and id(node) not in of_classes:
            name = getattr(node.targets[0], "id", "")
            if name == "code" or (file.name == "problems.py" and name.isupper() and name[0] != "_"):
                found |= texts_of(node.value)
    return {one for one in found if re.fullmatch(r"[a-z]+(_[a-z]+)*", one)}


def texts_of(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    if isinstance(node, ast.IfExp):
        return texts_of(node.body) | texts_of(node.orelse)
    if isinstance(node, ast.JoinedStr):
        shape = "".join(one.value if isinstance(one, ast.Constant) else "{}" for one in node.values)
        stages = ["import", "start", "self_check"]
        values = {
            "{}_timeout": stages,
            "{}_failed": [*stages, "contract", "config"],
            "file_{}": [one.value for one in Flaw],
        }.get(shape, [])
        return {shape.format(one) for one in values}
    return set()


def test_every_code_has_a_plugin_and_a_remedy() -> None:
    parsed = trees("worker", "host")
    helpers = [tree for _, tree in (*parsed, *trees("model"))]
    places = {name: place for tree in helpers for name, place in places_of_codes(tree).items()}
    codes = {code for file, tree in parsed for code in codes_in(file, tree, places)}
    assert len(codes) >= 40
    provoked = {*TEXTS, *SLOW, *FULL, *LAYOUT, *BY_THEMSELVES, NO_WORKERS}
    assert codes - provoked - set(NOT_OF_LOADING) == set(), "give each a plugin in broken_plugins.py"
    assert set(NOT_OF_LOADING) - codes == set(), "these are gone"
    assert provoked - codes == set(), "these are gone, too"
    assert provoked - set(REMEDIES) == set(), "give each a remedy in service/workbench/remedies.py"


# -- each of them -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Seen]]:
    """All of them, examined: one bench for those with usual limits, one for those with short ones."""
    folder = tmp_path_factory.mktemp("broken")
    with Registry() as registry, pytest.MonkeyPatch.context() as patch:
        offer(registry)
        for name, value in registry.environment(folder / "cache").items():
            patch.setenv(name, value)
        with small_disk(folder / "small"):
            program = [sys.executable, "-m", "tests.integration.examining", str(folder)]
            subprocess.run(program, cwd=SERVICE.parent, check=True, timeout=110)
            written = (folder / "seen.json").read_bytes()
    return msgspec.json.decode(written, type=dict[str, list[Seen]])


def offer(registry: Registry) -> None:
    registry.add("good", "1.0")
    registry.add("good", "2.0")
    registry.add("old-user", "1.0", requires=["good<2"])
    registry.add("new-user", "1.0", requires=["good>=2"])
    registry.add("withdrawn", "1.0", yanked="it ate a disk")
    registry.add("foreign", "1.0", tag="cp311-cp311-win_amd64")
    registry.add_sdist("source-only", "1.0", "raise SystemExit('it was run')")
    registry.add("tampered", "1.0", sha256="0" * 64)
    registry.add("linked", "1.0", requires=["other @ git+https://example.invalid/other.git"])
    registry.add("huge", "1.0", {"huge.py": f"X = {os.urandom(400_000).hex()!r}\n"})
    broken = b"Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n"
    registry.put("broken", "broken-1.0-py3-none-any.whl", b"no archive" * 99, metadata=broken)
    registry.add("ill", "1.0")
    registry.behave("ill", Behaviour(status=500))
    registry.add("mute", "1.0")
    registry.behave("mute", Behaviour(hang=True))


@contextmanager
def small_disk(mount: Path) -> Iterator[None]:
    """A disk of 256 KiB at that place, where one may be mounted."""
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield
        return
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.parametrize("code", [*TEXTS, *SLOW, *FULL, *LAYOUT, NO_WORKERS])
def test_it_is_told_with_file_line_and_remedy(seen: dict[str, list[Seen]], code: str) -> None:
    if code not in seen:
        pytest.skip("a small disk cannot be mounted")
    for one in seen[code]:
        problem = next((p for p in one.report.problems if p.code == code), None)
        assert problem is not None, one.printed["en"]
        assert (problem.severity, one.report.loads) == ("error", False)
        assert problem.line == one.line, one.printed["en"]
        place = f"{one.file}:{one.line}:{problem.column}: " if one.line else f"{one.file}: "
        for language, text in one.printed.items():
            lines = text.split("\n")
            at = next(i for i, line in enumerate(lines) if line.startswith(f"{place}error[{code}]: "))
            below = lines[at + 1 : at + 4]
            if one.line:
                source = Path(one.file).read_text(encoding="utf-8").split("\n")[one.line - 1]
                assert below[0] == f" {one.line} │ {source}"
                assert "^" in below[1]
            remedy = problem.help.in_language(language)  # type: ignore[arg-type]
            assert f"help: {remedy.splitlines()[0]}" in below
            assert "plugbay-check-" not in text, "the folder of the bench is nobody's business"


# -- what only the text or the run of it tells ------------------------------------------------------------------------

DOUBTFUL = '''# /// script
# dependencies = ["good>=2", "Good<2"]
# ///
import asyncio
import time
import packaging.version
import service.host
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nowhere
try:
    import absent
except ImportError:
    absent = None

from service.sdk import ConfigField, SearchPlugin


class Doubtful(SearchPlugin):
    name = "doubtful"

    def get_config_schema(self):
        return [
            ConfigField(name="a", type="select"),
            ConfigField(name="b", type="number", default="many"),
            ConfigField(name="b"),
            ConfigField(name="c", type="list"),
        ]

    def self_chek(self):
        pass

    async def search(self, keyword, **kwargs):
        """中文"""; time.sleep(0.25)
        await asyncio.to_thread(time.sleep, 0)
        total = 0
        for number in range(10_000_000):
            total += number
        return []

    async def stop(self):
        raise RuntimeError("not now")
'''


# -- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: str, cwd: Path, language: str = "en", url: str = "http://127.0.0.1:9") -> Any:
    environment = {**os.environ, "PLUGBAY_LANG": language, "PLUGBAY_URL": url, "COLUMNS": "80"}
    environment.pop("PLUGBAY_HOME", None)
    return run_plugbay(
        *arguments, environ={**environment, "PYTHONPATH": str(SERVICE.parent)}, folder=cwd, timeout_s=50
    )


def test_doubts_are_told_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "doubtful_plugin.py"
    file.write_text(DOUBTFUL, encoding="utf-8")
    contradicting = checked(file)
    errors = [
        (one["code"], one["line"], one["column"]) for one in contradicting if one["severity"] == "error"
    ]
    assert errors == [("requirements_contradict", 2, 31)]

    file.write_text(DOUBTFUL.replace('"good>=2", "Good<2"', ""), encoding="utf-8")
    problems = checked(file, "--run", "hello")
    looped = next(one["line"] for one in problems if one["line"] in (38, 39))
    assert {(one["code"], one["line"]) for one in problems} == {
        ("undeclared_import", 6),
        ("internal_import", 7),
        ("version_missing", 20),
        ("description_missing", 20),
        ("field_doubtful", 25),
        ("field_doubtful", 26),
        ("field_repeated", 27),
        ("field_doubtful", 28),
        ("method_misspelt", 31),
        ("blocking_call", 35),
        ("blocking_call", looped),
        ("stop_failed", 43),
    }
    assert {one["severity"] for one in problems} == {"warning"}
    slept = next(one for one in problems if one["line"] == 35)
    said = re.fullmatch(
        r"time\.sleep\(0\.25\) in search held up the event loop for (\d+) ms", slept["message"]
    )
    assert said is not None, slept["message"]
    assert 200 <= int(said[1]) < 2000
    assert slept["column"] == 19
    undeclared = next(one for one in problems if one["code"] == "undeclared_import")
    assert "packaging>=" in undeclared["help"]
    assert run("check", str(file), cwd=tmp_path).returncode == 0


def checked(file: Path, *options: str) -> list[dict[str, Any]]:
    result = run("check", str(file), "--json", "--strict", *options, cwd=file.parent)
    assert result.returncode == 1, result.stderr
    problems: list[dict[str, Any]] = json.loads(result.stdout)["plugins"][0]["problems"]
    return problems


SETTINGS = """# /// script
# dependancies = ["good"]
# ///
from service.sdk import ConfigField, SearchPlugin, SearchResult


class Settings(SearchPlugin):
    name = "settings"
    version = "1.0"
    description = "What it was given"

    def get_config_schema(self):
        return [
            ConfigField(name="limit", type="number", default=3),
            ConfigField(name="mode", type="select", options=["a", "b"], default="a"),
            ConfigField(name="key", type="password"),
        ]

    async def start(self):
        if self.config["limit"] + 1 == 100:
            raise OSError("too many")

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=repr(self.config), url="")]
"""
SCHEMA = """from service.sdk import SearchPlugin


class Schema(SearchPlugin):
    name = "settings"
    version = "1.0"
    description = "What it was given"
    config_schema = {
        "proprties": {"x": {}},
        "limit": {"type": "strng"},
    }

    async def search(self, keyword, **kwargs):
        return [{"url": keyword}]
"""


def test_values_that_are_given_are_held_against_the_schema(tmp_path: Path) -> None:
    file = tmp_path / "settings_plugin.py"
    file.write_text(SETTINGS, encoding="utf-8")
    wrong = ["--set=limit=x", "--set=mode=c", "--set=nosuch=1", "--set=other="]
    told = {
        (one["code"], one["severity"], one["line"], one["message"])
        for one in checked(file, "--run", "hello", *wrong)
    }
    assert told == {
        (
            "metadata_ignored",
            "warning",
            2,
            "# /// script knows no key dependancies, which counts for nothing",
        ),
        ("config_invalid", "warning", 12, "The plugin has no setting nosuch"),
        ("config_invalid", "warning", 12, "The plugin has no setting other"),
        # Not what start() made of it, and nothing of a call, which a server would not have made.
        ("config_invalid", "error", 14, "Setting limit has to be a number, not a string"),
        ("config_invalid", "error", 15, "Setting mode has to be one of: a, b"),
    }
    told = {one["code"] for one in checked(file, "--set=limit=99")}
    assert told == {"metadata_ignored", "start_failed"}
    tried = run("try", str(file), "search", "x", '--set=limit="5"', "--set=key=1", "--json", cwd=tmp_path)
    [result] = json.loads(tried.stdout)["result"]
    assert ast.literal_eval(result["title"]) == {"limit": 5, "mode": "a", "key": "1"}, "as config set has it"


def test_files_outside_of_a_plugin_folder_clash_and_a_schema_is_doubted(tmp_path: Path) -> None:
    (tmp_path / "schema_plugin.py").write_text(SCHEMA, encoding="utf-8")
    (tmp_path / "settings_plugin.py").write_text(
        SETTINGS.replace("dependancies", "dependencies").replace('"good"', ""), encoding="utf-8"
    )
    helped = (
        "from plugins.search.aid import x\nfrom service.sdk import SearchPlugin\nclass A(SearchPlugin): ...\n"
    )
    (tmp_path / "helped_plugin.py").write_text(helped, encoding="utf-8")
    (tmp_path / "empty_plugin.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "test_settings_plugin.py").write_text("x = 1\n", encoding="utf-8")
    result = run("check", ".", "--json", "--run", "x", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert (
        result.stderr
        == "empty_plugin.py is left out: no class in it is derived from SearchPlugin, DownloadPlugin or ParserPlugin\n"
    )
    told = {
        (Path(problem["file"]).name, problem["line"], problem["code"]): problem["help"]
        for one in json.loads(result.stdout)["plugins"]
        for problem in one["problems"]
        if not problem["code"].endswith("_missing")
    }
    assert list(told) == [
        ("helped_plugin.py", 1, "import_failed"),
        ("schema_plugin.py", 9, "field_doubtful"),
        ("schema_plugin.py", 10, "field_doubtful"),
        ("schema_plugin.py", 13, "call_failed"),
        ("settings_plugin.py", 8, "conflict"),
    ]
    helped, first, second, called, clash = told.values()
    assert helped.endswith("put the plugin and its helper there: plugins/search/")
    assert (first, second) == ("did you mean properties?", "move limit into properties")
    assert called.startswith("return a list whose items are such as SearchResult(")
    assert clash == "give one of the two another name"


def test_a_clean_plugin_and_what_is_told_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "plugins/search/fine_plugin.py"
    file.parent.mkdir(parents=True)
    block = '# /// script\n# dependencies = ["good==1.0"]\n# ///\nimport good\n'
    file.write_text(block + FINE.replace('"1.0"', "good.VERSION"), encoding="utf-8")
    with Registry() as registry:
        offer(registry)
        for name, value in registry.environment(tmp_path / "cache").items():
            monkeypatch.setenv(name, value)
        result = run("check", str(file), "--json", "--run", "hello", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    [told] = json.loads(result.stdout)["plugins"]
    assert (told["id"], told["version"], told["loads"], told["problems"]) == ("search/fine", "1.0", True, [])
    assert [(one["name"], one["version"]) for one in told["packages"]] == [("good", "1.0")]
    assert list(told["timings"]) == ["dependencies", "import", "search"]
    assert (told["usage"]["processes"], told["usage"]["threads"]) == (1, 1)
    assert told["usage"]["private"] < told["usage"]["pss"] < 1 << 30
    assert [one["message"] for one in told["log"]] == ["looking for hello"]
    assert told["result"][0]["title"] == "hello"
    assert list(file.parent.iterdir()) == [file], "nothing is left beside it"


def test_the_command_for_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "plugins/search"
    folder.mkdir(parents=True)
    (folder / "fine_plugin.py").write_text(FINE, encoding="utf-8")
    clean = run("check", "plugins", cwd=tmp_path)
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.endswith("1 plugin, no problems\n")

    (folder / "twin_plugin.py").write_text(FINE, encoding="utf-8")
    (folder / "broken_plugin.py").write_text(TEXTS["import_failed"][0], encoding="utf-8")
    (folder / "plugin_template.py").write_text("1 / 0", encoding="utf-8")
    for language, count in (("en", "3 plugins: 2 errors\n"), ("zh", "3 个插件：2 个错误\n")):
        result = run("check", ".", cwd=tmp_path, language=language)
        assert (result.returncode, result.stderr) == (1, ""), result.stdout
        assert result.stdout.endswith(count)
        assert "plugins/search/broken_plugin.py:1:1: error[import_failed]: " in result.stdout
        assert "plugins/search/twin_plugin.py:5:5: error[conflict]: " in result.stdout
    told = json.loads(run("check", "plugins/search/twin_plugin.py", "--json", cwd=tmp_path).stdout)
    assert (told["errors"], told["warnings"], told["plugins"][0]["ok"]) == (0, 0, True)

    assert not list(tmp_path.glob("data")), "nothing is made in a home"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_checks_again_at_every_save(tmp_path: Path, end: signal.Signals) -> None:
    file = tmp_path / "fine_plugin.py"
    file.write_text(FINE, encoding="utf-8")
    environment = {**os.environ, "PLUGBAY_LANG": "en", "PLUGBAY_URL": "http://127.0.0.1:9"}
    watching = subprocess.Popen(
        [sys.executable, "-u", "-m", "service", "check", "--watch", "--json", str(file)],
        env=environment,
        cwd=SERVICE.parent,
        stdout=subprocess.PIPE,
        text=True,
        # As a shell has what it starts with `&`.
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if end is signal.SIGTERM else None,
    )
    try:
        assert watching.stdout is not None
        rounds = [json.loads(watching.stdout.readline())]
        file.write_text(
            FINE.replace("async def search(self, keyword", "async def search(self"), encoding="utf-8"
        )
        rounds.append(json.loads(watching.stdout.readline()))
        aside = tmp_path / "fine_plugin.py.new"
        aside.write_text(FINE, encoding="utf-8")
        aside.rename(file)
        rounds.append(json.loads(watching.stdout.readline()))
        assert [one["errors"] for one in rounds] == [0, 1, 0]
        assert rounds[1]["plugins"][0]["problems"][0]["line"] == 9
        watching.send_signal(end)
        assert watching.wait(timeout=20) == 0
    finally:
        watching.kill()
        watching.communicate()
