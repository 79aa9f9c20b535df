"""What a plugin declares is read exactly, in linear time, and nothing but names with versions is taken."""

from __future__ import annotations

import re
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import LoadFailed
from service.host.dependencies import script_metadata
from service.host.dependencies.declaration import Declared, declared, examine
from service.model.plugin import Stage

FILE = "plugins/search/demo_plugin.py"


def block(*lines: str) -> bytes:
    return "\n".join(
        ["# /// script", *(f"# {line}" if line else "#" for line in lines), "# ///", ""]
    ).encode()


def refused(source: bytes, requirements: bytes | None = None) -> LoadFailed:
    with pytest.raises(LoadFailed) as caught:
        declared(source, requirements, file=FILE, requirements_file="plugins/search/demo_requirements.txt")
    error = caught.value.error
    assert error.stage is Stage.DEPENDENCIES
    assert error.messages.zh
    assert error.messages.en
    return caught.value


def test_all_that_a_block_may_say() -> None:
    source = b'"""A plugin."""\n' + block(
        'requires-python = ">=3.11"',
        "dependencies = [",
        '  "httpx >= 0.27",',
        "  \"lxml[html5]; sys_platform == 'linux'\",",
        "]",
        "",
        "[tool.plugbay]",
        "network = [80, 443]",
        'read = ["/srv/media"]',
        "other = 1",
    )
    assert declared(source) == Declared(
        requires_python=">=3.11",
        dependencies=["httpx>=0.27", 'lxml[html5]; sys_platform == "linux"'],
        plugbay={"network": [80, 443], "read": ["/srv/media"], "other": 1},
    )


@pytest.mark.parametrize("source", [b"", b"\0\0", b"x = 1", b"# /// script", b"# ///", b"#", b"\xff\xfe"])
def test_no_block_declares_nothing(source: bytes) -> None:
    assert declared(source).dependencies == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff", "x = 1\n\n"])
def test_line_ends_and_marks(start: str, end: str) -> None:
    text = start + block('dependencies = ["a", "b"]').decode() + "import os\n"
    assert declared(text.replace("\n", end).encode()).dependencies == ["a", "b"]


def test_a_block_at_the_end_without_a_line_break() -> None:
    assert declared(block('dependencies = ["a"]').rstrip()).dependencies == ["a"]


def test_the_last_end_in_a_run_of_comments_counts() -> None:
    source = b"# /// script\n# embedded = '''\n# ///\n# '''\n# ///\n# trailing comment\nx = 1\n"
    found = script_metadata.scan(source).block
    assert found is not None
    assert found.data == {"embedded": "///\n"}


def test_other_blocks_and_indented_ones_are_not_ours() -> None:
    source = (
        b"# /// other\n# dependencies = [\n# ///\n\n    # /// script\n    # x\n    # ///\n#/// other\n# ///\n"
    )
    assert declared(source) == Declared()


def test_an_unclosed_block_is_ignored_and_noted() -> None:
    found = declared(b'x = 1\n# /// script\n# dependencies = ["a"]\nimport os\n')
    assert found.dependencies == []
    assert "2" in found.notes[0].zh
    assert "line 2" in found.notes[0].en


def test_two_blocks_are_an_error_that_names_both() -> None:
    error = refused(block("a = 1") + b"\nx = 1\n" + block("b = 1")).error
    assert error.code == "metadata_invalid"
    assert (error.file, error.line) == (FILE, 6)
    assert "line 1" in error.messages.en


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (b"x = 1\n" + block("a = 1", "dependencies = [", '"x"'), 4),
        (block("a = 1", "a = 2"), 3),
        (block("a = " + "[" * 5000), 1),
        (block("a = " + "1" * 5000), 1),
        (block('dependencies = "httpx"'), 2),
        (block("x = 1", 'dependencies = ["a", 5]'), 3),
        (block("requires-python = 3.11"), 2),
        (block('requires-python = "three"'), 2),
        (block("tool = 1"), 2),
        (block("[tool]", "plugbay = 1"), 3),
        (block("[tool.plugbay]", "network = 80"), 3),
        (block("[tool.plugbay]", "network = [0]"), 3),
        (block("[tool.plugbay]", "network = [true]"), 3),
        (block("[tool.plugbay]", 'read = "/"'), 3),
        (block("[tool.plugbay]", 'write = ["/a", 1]'), 3),
        (block("[tool.plugbay]", "min_interface = []"), 3),
        (block("[tool.plugbay]", "min_interface = true"), 3),
        (block("[tool.plugbay]", 'min_interface = "newest"'), 3),
        (block("a = 1", 'dependencies = ["a", "not a name!"]'), 3),
        (block(*["# x" * 30] * 2000), 1),
    ],
)
def test_a_malformed_block_names_its_place(source: bytes, line: int) -> None:
    error = refused(source).error
    assert error.code == "metadata_invalid"
    assert error.file == FILE
    if line != 1:
        assert error.line is not None
        assert abs(error.line - line) <= (1 if b'"x"' in source else 0)


def test_a_file_in_its_own_encoding() -> None:
    text = '# -*- coding: gbk -*-\n# /// script\n# # 依赖\n# dependencies = ["a"]\n# ///\n'
    assert declared(text.encode("gbk")).dependencies == ["a"]
    assert declared(text.replace("gbk", "no-such-codec").encode("gbk")).dependencies == ["a"]
    assert declared(b"# coding: punycode\n" + block('dependencies = ["a"] # \xff')).dependencies == ["a"]


@pytest.mark.parametrize(
    "source",
    [
        b"# /// script\n" + b"#\n" * 2_500_000,
        b"# /// script\n" * 400_000,
        b"# /// a\n# ///\n\n" * 350_000,
        b"# /// a\n# b = 1\n# ///\n" * 200_000,
        b"# /// script\n" + b"# ///\n" * 800_000,
        b"# /// script\n" + b"# /// \n" * 700_000,
        b"# ///" * 1_000_000,
        b"\n# /// script\nx" * 380_000,
    ],
)
def test_five_megabytes_of_marks_take_no_time(source: bytes) -> None:
    started = time.process_time()
    try:
        script_metadata.scan(source)
    except script_metadata.BadBlock:
        pass
    assert time.process_time() - started < 1


REFERENCE = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


@given(
    st.lists(
        st.sampled_from(["# /// script", "# ///", "# a = 1", "#", "x", "", "# /// other", "#x", "# /// "]),
        max_size=14,
    )
)
def test_agrees_with_the_expression_of_pep_723(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    expected = [match for match in REFERENCE.finditer(text) if match["type"] == "script"]
    try:
        found = script_metadata.scan(text.encode())
    except script_metadata.BadBlock:
        found = None
    if len(expected) == 1 and found is not None:
        content = "".join(
            line[2:] if line.startswith("# ") else line[1:]
            for line in expected[0]["content"].splitlines(keepends=True)
        )
        assert found.block is not None
        assert list(found.block.lines) == content.splitlines()
    elif not expected:
        # The expression asks for at least one line between the marks; an empty block declares nothing either way.
        assert found is None or found.block is None or found.block.data == {}


def test_requirements_files() -> None:
    content = textwrap.dedent(
        """\
        # what it needs
        httpx>=0.27   # for HTTP

        lxml [html5] \\
            >=5, \\
            <7
           # indented comment \\
        colorama; sys_platform == "win32"
        pkg#not-a-comment-but-wrong
        """
    )
    good = content.rsplit("\n", 2)[0] + "\n"
    expected = ["httpx>=0.27", "lxml[html5]<7,>=5", 'colorama; sys_platform == "win32"']
    for raw in (
        good.encode(),
        good.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + good.encode(),
        good.encode("utf-16"),
        good.encode().replace(b"# what", b"# \xb0\xa1 what"),
        good.encode().rstrip(),
    ):
        assert declared(b"", raw).dependencies == expected
    error = refused(b"", content.encode()).error
    assert error.line == 9
    assert error.file == "plugins/search/demo_requirements.txt"


def test_block_and_file_count_together() -> None:
    found = declared(block('dependencies = ["a", "b>1"]'), b"b>1\nc\na==2\n")
    assert found.dependencies == ["a", "b>1", "c", "a==2"]


REFUSED = [
    "-r other.txt",
    "--index-url https://example.com/simple",
    "-e .",
    "-i http://x",
    "--no-binary :all:",
    "pkg==1.0 --hash=sha256:00",
    "pkg==1.0 \\\n  --hash=sha256:00",
    'pkg; python_version > "3" --config-settings x',
    "-c constraints.txt",
    ".",
    "..",
    "./local",
    "../local",
    "/abs/path",
    "~/home",
    "sub/folder",
    "C:\\windows\\pkg",
    "pkg.whl",
    "pkg-1.0-py3-none-any.whl",
    "pkg-1.0.tar.gz",
    "git+https://github.com/a/b",
    "git+ssh://git@github.com/a/b.git#egg=b",
    "hg+http://x/y",
    "bzr+lp:x",
    "https://example.com/pkg.whl",
    "file:///etc/passwd",
    "file:pkg",
    "pkg @ https://example.com/pkg.whl",
    "pkg @ git+https://github.com/a/b@main",
    "pkg@file:///x",
    "pkg[extra] @ ./local",
    "pkg @ local",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_name_is_refused(text: str) -> None:
    error = refused(b"", ("ok\n" + text + "\n").encode()).error
    assert error.code == "dependency_refused", error.messages.en
    assert error.line == 2
    if "\n" not in text:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        error = refused(block("# x", f'dependencies = ["ok", "{quoted}"]')).error
        assert error.code == "dependency_refused"
        assert error.file == FILE


@pytest.mark.parametrize(
    "text",
    [
        "pkg=1.0",
        "pkg 1.0",
        "pkg>=x",
        "${PKG}",
        "pkg\0",
        "包",
        "pkg; python_version",
        'pkg; nonsense == "1"',
        "pkg; " + "(" * 900,
        "a" * 2000,
        "[extra]",
    ],
)
def test_what_is_no_requirement_is_invalid(text: str) -> None:
    assert refused(b"", text.encode()).error.code in ("metadata_invalid", "dependency_refused")


def test_bounds_and_encodings_of_the_file() -> None:
    assert refused(b"", b"a\n" * 40_000).error.code == "metadata_invalid"
    assert refused(b"", b"a\n" * 201).error.code == "metadata_invalid"
    assert refused(block("dependencies = [" + '"a",' * 201 + "]")).error.code == "metadata_invalid"
    assert refused(b"", b"ok\n\xb0\xa1>=1\n").error.line == 2
    assert refused(b"", b"\xff\xfea").error.code == "metadata_invalid"
    assert declared(b"", b"").dependencies == []


def test_credentials_are_not_repeated() -> None:
    error = refused(b"", b"https://user:hunter2@example.com/x.whl").error
    assert "hunter2" not in error.messages.zh + error.messages.en


def unsatisfied(declaration: Declared) -> list[str]:
    return [str(finding) for finding in examine(declaration) if not finding.satisfied]


def test_what_is_installed_satisfies_and_the_rest_is_named() -> None:
    found = Declared(
        requires_python=">=3.11",
        dependencies=[
            "aiohttp>=3",
            "AioHTTP",
            "aiohttp>=900",
            "no-such-thing-at-all>=1",
            'no-such-thing-at-all; sys_platform == "win32"',
            'no-such-thing-at-all; extra == "x"',
            'no-such-thing-at-all; python_version < "3"',
            "packaging!=0.1",
        ],
    )
    missing = unsatisfied(found)
    assert len(missing) == 2
    assert re.fullmatch(r"aiohttp>=900 \(3\..*\)", missing[0])
    assert missing[1] == "no-such-thing-at-all>=1 (not installed)"
    assert len(examine(found)) == 5
    assert unsatisfied(Declared()) == []


def test_the_interpreter_counts() -> None:
    running = ".".join(map(str, sys.version_info[:3]))
    assert unsatisfied(Declared(requires_python=">=4")) == [f"python>=4 ({running})"]
    assert unsatisfied(Declared(requires_python=f"=={running}")) == []


def distribution(folder: Path, name: str, version: str | None, *requires: str) -> None:
    place = folder / f"{name}-{version or 'x'}.dist-info"
    place.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}"]
    lines += [f"Version: {version}"] if version else []
    (place / "METADATA").write_text(
        "\n".join([*lines, *(f"Requires-Dist: {need}" for need in requires), "", ""])
    )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_extras_are_followed(site: Path) -> None:
    distribution(
        site, "base_lib", "1.0", 'helper>=2; extra == "fast-mode"', 'gone; extra == "none"', "unmarked"
    )
    distribution(site, "helper", "2.5", 'base-lib[fast-mode]; extra == "round"', 'deep; extra == "round"')
    assert unsatisfied(Declared(dependencies=["base-lib[fast_mode]"])) == []
    assert unsatisfied(Declared(dependencies=["Base.Lib[none]"])) == ["Base.Lib[none] (1.0)"]
    assert unsatisfied(Declared(dependencies=["base-lib[unknown]"])) == []
    assert unsatisfied(Declared(dependencies=["helper[round]"])) == ["helper[round] (2.5)"]


def test_a_hand_run_install_counts_at_once(site: Path) -> None:
    needed = Declared(dependencies=["late-arrival>=1"])
    assert unsatisfied(needed) == ["late-arrival>=1 (not installed)"]
    distribution(site, "late_arrival", "1.2")
    assert unsatisfied(needed) == []


def test_broken_metadata_is_not_installed(site: Path) -> None:
    (site / "halfgone-1.0.dist-info").mkdir()
    distribution(site, "noversion", None)
    distribution(site, "oddversion", "yesterday")
    distribution(site, "oddneeds", "1.0", "((( ; extra == 'x'")
    assert len(unsatisfied(Declared(dependencies=["halfgone", "noversion", "oddversion>=1"]))) == 3
    assert unsatisfied(Declared(dependencies=["oddversion", "oddneeds[x]"])) == []


@pytest.mark.parametrize(
    ("lines", "line", "meant"),
    [
        (["# /// script", '# dependancies = ["a"]', "# ///"], 2, "did you mean dependencies?"),
        (["# /// script", '# requires_python = ">=3"', "# ///"], 2, "did you mean requires-python?"),
        (["# /// script", "# author = 'me'", "# ///"], 2, "it knows dependencies, requires-python, tool"),
        (["# /// script", "# [tool.plugbay]", '# min_interfce = "1.0"', "# ///"], 3, "mean min_interface?"),
        (["# /// script", "# [tool.plugbai]", "# network = true", "# ///"], 2, "did you mean plugbay?"),
        (["import os", "# ///script", "# dependencies = []", "# ///"], 2, "write it as # /// script"),
        (["# /// scripts", "# ///"], 1, "write it as # /// script"),
        (["#/// script", "# ///"], 1, "write it as # /// script"),
        (["# /// script ", "# ///"], 1, "write it as # /// script"),
    ],
)
def test_what_is_misspelt_is_noted_and_fails_nothing(lines: list[str], line: int, meant: str) -> None:
    for end in ("\n", "\r\n"):
        found = declared(end.join([*lines, ""]).encode())
        assert found.dependencies == []
        [note] = found.notes
        assert note.en.startswith(f"line {line}: ")
        assert note.en.endswith(meant)
        assert note.zh.startswith(f"第 {line} 行：")


def test_other_tools_and_other_blocks_are_no_misspellings() -> None:
    lines = [
        "# /// script",
        "# [tool.uv]",
        "# x = 1",
        "# [tool.plugbay]",
        "# other = 1",
        "# ///",
        "# /// scripts",
        "",
    ]
    assert declared("\n".join(lines).encode()).notes == []
    assert declared(b"# // describe\n# /// prescription\n# // Script tags are stripped\n").notes == []


@pytest.mark.parametrize("text", ["\\u0000", "\\n", "\\ud800"])
def test_a_marker_whose_text_cannot_be_written_again_is_refused(text: str) -> None:
    failed = refused(b"", f"lib; os_name == '{text}'".encode())
    assert (failed.error.code, failed.error.line) == ("metadata_invalid", 1)
    [taken] = declared(b"", b"lib; os_name == 'x' or extra == 'a b'").dependencies
    assert declared(b"", taken.encode()).dependencies == [taken]
