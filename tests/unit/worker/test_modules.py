"""Plugin-side modules come from the snapshot only, and their imports are known."""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from service.worker.modules import SnapshotImporter, SourceModule, named_imports, quote

Modules = dict[str, str]


def importer_of(modules: Modules, root: str = "/nowhere/plugins") -> SnapshotImporter:
    sources = {}
    for name, source in modules.items():
        path = name.replace(".", "/")
        package = source.startswith("#package")
        sources[name] = SourceModule(
            f"/nowhere/{path}{'/__init__' if package else ''}.py", package, source.encode()
        )
    return SnapshotImporter(sources, root)


@pytest.fixture
def imports() -> Iterator[None]:
    before, path = set(sys.modules), list(sys.meta_path)
    yield
    sys.meta_path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_what_is_on_the_disk_is_never_imported(tmp_path: Path, imports: None) -> None:
    (tmp_path / "plugins/search").mkdir(parents=True)
    (tmp_path / "plugins/search/helper.py").write_text("VALUE = 'disk'\n")
    (tmp_path / "plugins/search/other.py").write_text("VALUE = 'disk'\n")
    sys.meta_path.insert(
        0, importer_of({"plugins.search.helper": "VALUE = 'snapshot'\n"}, str(tmp_path / "plugins"))
    )
    assert import_module("plugins.search.helper").VALUE == "snapshot"
    with pytest.raises(ModuleNotFoundError, match=r"plugins\.search\.other"):
        import_module("plugins.search.other")


def test_packages_and_relative_imports(imports: None) -> None:
    modules = {
        "plugins.search.box_plugin": "#package\nfrom .inner import VALUE\nfrom ..deep.er import MORE\n",
        "plugins.search.box_plugin.inner": "from plugins.common import VALUE\n",
        "plugins.deep.er": "MORE = 2\n",
        "plugins.common": "VALUE = 1\n",
    }
    sys.meta_path.insert(0, importer_of(modules))
    with pytest.raises(
        ImportError
    ):  # two dots from a package of the type's folder lead to plugins.search.deep
        import_module("plugins.search.box_plugin")
    modules["plugins.search.box_plugin"] = "#package\nfrom .inner import VALUE\nfrom ...deep.er import MORE\n"
    sys.meta_path[0] = importer_of(modules)
    box = import_module("plugins.search.box_plugin")
    assert (box.VALUE, box.MORE) == (1, 2)
    assert box.__file__ == "/nowhere/plugins/search/box_plugin/__init__.py"


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("import plugins.search.a\n", {"plugins.search.a"}),
        ("from plugins.search import a\n", {"plugins.search.a"}),
        ("from . import a\n", {"plugins.search.a"}),
        ("from .a import x\n", {"plugins.search.a"}),
        ("def f():\n    from .a import x\n", {"plugins.search.a"}),
        ("class C:\n    async def f(self):\n        import plugins.parser.b as b\n", {"plugins.parser.b"}),
        ("import importlib\nimportlib.import_module('plugins.search.a')\n", {"plugins.search.a"}),
        ("from .chain import x\n", {"plugins.search.chain", "plugins.search.a"}),
        ("from .missing import x\n", {"plugins.search.missing"}),
        ("import json, os.path\nx = 'plugin'\n", set()),
        ("# plugins.search.a is not imported\n", set()),
    ],
)
def test_the_imports_of_a_plugin_are_known(source: str, named: set[str]) -> None:
    importer = importer_of(
        {
            "plugins.search.demo_plugin": source,
            "plugins.search.a": "x = 1\n",
            "plugins.search.chain": "from .a import x\n",
            "plugins.parser.b": "",
        }
    )
    found = set(named_imports(importer, "plugins.search.demo_plugin"))
    assert named <= found
    known = {"plugins.search.a", "plugins.search.chain", "plugins.parser.b", "plugins.search.missing"}
    assert found & known == named


def test_text_that_does_not_decode_names_its_place() -> None:
    importer = SnapshotImporter(
        {"plugins.search.bad_plugin": SourceModule("/x.py", False, b"a = 1\n\n\nb = '\xff'\n")}, "/"
    )
    with pytest.raises(SyntaxError, match="0xff") as caught:
        importer.get_code("plugins.search.bad_plugin")
    assert (caught.value.lineno, caught.value.offset) == (4, 6)


def test_a_declared_encoding_is_honoured() -> None:
    source = "# -*- coding: gbk -*-\nNAME = '斗罗大陆'\n".encode("gbk")
    importer = SnapshotImporter({"plugins.search.gbk": SourceModule("/x.py", False, source)}, "/")
    namespace: dict[str, object] = {}
    exec(importer.get_code("plugins.search.gbk"), namespace)
    assert namespace["NAME"] == "斗罗大陆"


def test_errors_quote_the_snapshot_and_not_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "demo_plugin.py"
    file.write_text("one on disk\ntwo on disk\n")
    name = "plugins.search.demo_plugin"

    def importer(source: bytes) -> SnapshotImporter:
        return SnapshotImporter({name: SourceModule(str(file), False, source)}, str(tmp_path))

    with pytest.raises(SyntaxError) as broken:
        importer(b"first = 1\nsecond = (\n").get_code(name)
    assert broken.value.text == "second = (\n"

    raising = importer(b"first = 1\nraise ValueError('second')\n")
    monkeypatch.setattr(linecache, "cache", {})
    quote(raising)
    try:
        with pytest.raises(ValueError, match="second") as raised:
            exec(raising.get_code(name), {})
        shown = "".join(traceback.format_exception(raised.value))
    finally:
        quote(None)
    assert "raise ValueError('second')" in shown and "on disk" not in shown
