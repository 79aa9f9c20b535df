"""What a plugin might declare that it needs, rightly or wrongly: requirements, files of them, PEP 723 blocks.

None of it can be had, so that nothing is kept of it.
"""

from __future__ import annotations

from random import Random

NAMES = (
    *(
        "httpx-of-nobody requests-of-nobody A-of-nobody a1-of-nobody a-b_c.d typing-of-nobody "
        "zope.of.nobody ruamel.yaml -x x- .x _ __ 1 é 例 nul con a/b"
    ).split(),
    *(
        "../x ./x ~/x C:\\x file:x \u200bx x\u200b x\0 -r -e --index-url -c @x x@y [x] (x) $(x) `x` {x} %2e ${HOME}"
    ).split(),
    "a" * 300,
    "",
    " ",
)
VERSIONS = (
    *(
        "==1 >=1.0 ~=1.4 !=1 <2,>1 ==1.* (>=1) ===x ~=1 ===1.0-weird ==*.1 >=1.* == = => =1 >= 1..2 ==1.0+local ==1!2.0"
    ).split(),
    *(
        "==1a1.post2.dev3 ==9999999999999999999999 (>=1 ==1;0 ~=1,~=2,~=3 ==v1 ==1.0.0.0.0.0.0.0 ==\u0661"
    ).split(),
    "== 1 , != 2",
    ",".join(["!=1"] * 300),
    "==" + "9" * 5000,
    "==1" + ".1" * 400,
    "",
)
EXTRAS = (
    "",
    "[]",
    "[a]",
    "[a,b]",
    "[a,,b]",
    "[a",
    "a]",
    "[[a]]",
    "[é]",
    f"[{','.join(['a'] * 500)}]",
    "[-]",
    "[*]",
)
MARKERS = (
    "",
    "",
    "",
    "; python_version >= '3'",
    '; python_version > "3.9" and os_name == "posix"',
    "; python_version in '3.11 3.12'",
    "; python_full_version >= '3.11.0b1'",
    "; sys_platform == 'win32'",
    "; extra == 'x'",
    "; extra == 'x' or (extra == 'y' and python_version > '2')",
    "; '3' < python_version < '4'",
    "; platform_release >= '5'",
    "; platform_release >= 'x.y'",
    "; implementation_version ~= 'x'",
    "; os.name == 'posix'",
    "; python_implementation == 'CPython' # a comment",
    "; nothing == 'x'",
    "; 'a' == 'b'",
    "; 'a' in 'b'",
    "; 'a' ~= 'b'",
    "; python_version",
    "; python_version >= 3",
    "; python_version ~= '3'",
    "; python_version === '3'",
    "; and",
    ";",
    "; (" * 20,
    "; " + "(" * 3000 + "os_name == 'x'" + ")" * 3000,
    "; " + " or ".join(["os_name == 'x'"] * 40),
    "; " + " and ".join(["python_version > '3'"] * 2000),
    "; python_version > '3' --hash=sha256:" + "0" * 64,
    "; os_name == '\\u0000'",
    "; os_name == '\u202e'",
    "; dependency_groups == 'x'",
    "; extras == 'x'",
)
ADDRESSES = (
    "httpx @ https://example.invalid/httpx.whl",
    "httpx@https://example.invalid/httpx.whl",
    "https://example.invalid/httpx-1.0-py3-none-any.whl",
    "git+https://example.invalid/x.git@main#egg=x",
    "git+ssh://git@example.invalid/x.git",
    "hg+http://example.invalid/x",
    "x @ git+file:///etc",
    "x @ file:///etc/passwd",
    "x @ ../y",
    "x @ {root:uri}/y",
    "https://user:secret@example.invalid/x.tar.gz",
    "x.whl",
    "./x.tar.gz",
    ".",
    "..",
    "C:\\x.zip",
    "\\\\server\\x.whl",
    "-r other.txt",
    "-rother.txt",
    "-c c.txt",
    "-e .",
    "--index-url https://example.invalid",
    "--extra-index-url=https://example.invalid",
    "--find-links .",
    "--no-binary :all:",
    "--pre",
    "--trusted-host x",
    "-i x",
    "httpx --global-option=x",
    "httpx --config-settings x=y",
    "httpx==1 --hash=sha256:" + "a" * 64,
    "httpx \\",
    "\\",
    "# only a comment",
    "httpx#no comment",
    "httpx # comment",
    "httpx ; # comment",
)
ENDS = ("\n", "\n", "\n", "\r\n", "\r", "\n\n", " \\\n", "\\\n", "\f", "\u2028", "\x0b", "\x85", "\0", "")
TABLES = (
    "[tool]",
    "[tool.plugbay]",
    "[tool.plugbay.network]",
    "[[tool.plugbay]]",
    "[dependencies]",
    "[tool.other]",
    "[tool . plugbay]",
    '["tool"."plugbay"]',
    "[tool.plugbay",
    "[]",
    "[a]",
    "[[a]]",
)
KEYS = (
    *(
        "dependencies requires-python tool network read write min_interface min-interface Network dependancies"
    ).split(),
    *(
        "requires_python tool.plugbay.network tool.plugbay 'dependencies' \"\" '' é a.b.c tool.plugbay.network.x"
    ).split(),
)
VALUES = (
    *(
        'true false 1 0 -1 65536 [] {} "" "x" [[]] [{}] [80] [80,"x"] [true] [0] [-1] [1.5] nan inf -inf 1e400'
    ).split(),
    *(
        '">=3.11" ">=3.99" "~=3" "<3" "==3.11.*" ">=3.11,<4" "x" ">=" [">=3"] "1" "99" "1.0.0" "v1" 99 1.5'
    ).split(),
    *(
        '["nobody"] ["nobody>=0.27"] ["no","no"] [["a"]] [1] ["/etc"] ["~/x","../y"] ["\\u0000"] ["/"] [""] 1979-05-27'
    ).split(),
    *("07:32:00 0x10 1_000 +1 01 'x' '''x''' \"\"\"x\"\"\" \"\\ud800\" \"\\x\" = [ { ] } # , 'a' b").split(),
    "9" * 5000,
    "[" * 3000,
    "[" * 60 + "]" * 60,
    "{a=" * 500 + "1" + "}" * 500,
    '"' + "x" * 5000 + '"',
    "[" + '"a",' * 300 + "]",
    "[\n#   'a',\n# ]",
)
STARTS = (
    "# /// script",
    "# /// script",
    "# /// script",
    "# /// script",
    "#/// script",
    "# /// Script",
    "# /// scripts",
)
MORE_STARTS = (
    "# /// script ",
    "#  /// script",
    "# /// scirpt",
    "# ///script",
    " # /// script",
    "# /// other",
    "# ///",
)


def requirement(chance: Random) -> str:
    """One requirement."""
    if chance.random() < 0.2:
        return chance.choice(ADDRESSES)
    space = chance.choice(("", "", " ", "\t", "\u00a0"))
    parts = (_any(chance, NAMES, 7), _any(chance, EXTRAS, 4), space, _any(chance, VERSIONS, 8))
    text = "".join(parts) + _any(chance, MARKERS, 11)
    if chance.random() < 0.1 and text:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(("", "\0", "é", "'", '"', "(", ";", "\\", "\u202e")) + text[at + 1 :]
    return text


def _any(chance: Random, values: tuple[str, ...], right: int) -> str:
    """One of the values; mostly of the first, which are right."""
    return chance.choice(values[:right] if chance.random() < 0.8 else values)


def requirement_lines(chance: Random) -> bytes:
    """A requirements file."""
    count = chance.choice((0, 1, 1, 2, 3, 10, 250, 10_000))
    few = [requirement(chance) for _ in range(min(count, 40))] or [""]
    end = chance.choice(ENDS)
    lines = (chance.choice(few) if count > 40 else few[n] for n in range(count))
    text = "".join(f"{line}{end}" for line in lines)
    encoding = chance.choice(
        ("utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "gbk")
    )
    content = text.encode(encoding, "replace")
    if chance.random() < 0.1 and content:
        at = chance.randrange(len(content))
        content = content[:at] + chance.randbytes(3) + content[at:]
    return content


def script_block(chance: Random) -> str:
    """A PEP 723 block, or what somebody may have meant as one."""
    lines: list[str] = []
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        if chance.random() < 0.3:
            lines.append(chance.choice(TABLES))
        lines.append(f"{chance.choice(KEYS)} = {chance.choice(VALUES)}")
    if chance.random() < 0.2:
        lines.append(f"dependencies = [{', '.join(repr(requirement(chance)) for _ in range(3))}]")
    if chance.random() < 0.02:
        lines.append("dependencies = [" + '"a", ' * 10_000 + "]")
    mark = chance.choice(("# ", "# ", "# ", "# ", "#", "#\t", "", "## "))
    start = chance.choice(STARTS + MORE_STARTS)
    end = chance.choice(("# ///", "# ///", "# ///", "# ///", "# /// ", "#///", "", "# ///\n# ///"))
    line_end = chance.choice(("\n", "\n", "\n", "\r\n", "\r"))
    block = line_end.join((start, *(mark + line for line in lines), end, ""))
    return block * chance.choice((1, 1, 1, 1, 1, 1, 2))
