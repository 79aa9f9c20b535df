"""A plugin for each way in which loading can fail: the code, the line that has to be named, and the text.

A line that ends in `# here` is the one. `LAYOUT` has what is no text but something else at a plugin's path.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

HERE = "# here"
_SEARCH = "    async def search(self, keyword, **kwargs):\n        return []\n"
_TEXTS = '    version = "1"\n    description = "broken"\n'


def _search(
    body: str = "", *, head: str = "", name: str = '    name = "broken"\n', search: str = _SEARCH
) -> str:
    return (
        f"{head}from service.sdk import ConfigField, SearchPlugin\n\n\n"
        f"class Broken(SearchPlugin):\n{name}{_TEXTS}\n{search}{body}"
    )


def needs(line: str, *, mark: str = f"  {HERE}") -> str:
    """A plugin with one requirement."""
    return _search(head=f'# /// script\n# dependencies = [\n#   "{line}",{mark}\n# ]\n# ///\n')


# By code. A code may have several plugins; where the name before `:` is no type, it is a search plugin.
TEXTS: dict[str, list[str]] = {
    "syntax_error": [
        _search(f"\n    def broken(:  {HERE}\n        pass\n"),
        f"x = 1\ny = (  {HERE}\n",
        # Raised by hand, of a place that is none.
        _search(head=f"raise SyntaxError('mine', ('elsewhere.py', -3, 'x', None))  {HERE}\n"),
    ],
    "import_failed": [
        _search(head=f"import no_such_library  {HERE}\n"),
        _search(head=f"1 / 0  {HERE}\n"),
        _search(head=f"from service.sdk import Serach  {HERE}\n"),
        _search(head=f"import sys\nsys.exit(3)  {HERE}\n"),
    ],
    "exit_called": [_search(head=f"import os\nos._exit(0)  {HERE}\n")],
    "modules_replaced": [
        "import sys\nsys.modules = {}\n"
        + _search().replace("class Broken(SearchPlugin):", f"class Broken(SearchPlugin):  {HERE}")
    ],
    "worker_exited": [
        _search(f"\n    async def start(self):  {HERE}\n        import os\n        os.kill(os.getpid(), 9)\n")
    ],
    "manifest_invalid": [
        # It speaks to the server itself, and a language that nobody knows.
        'import os\nhead = b\'{"t":"hello","protocol":99,"load_ms":1,"modules":[]}\'\n'
        "os.write(3, len(head).to_bytes(4, 'big') + (0).to_bytes(4, 'big') + head)\n"
        + _search(name=f'    name = "broken"  {HERE}\n'),
        _search(name=f'    name = "broken"  {HERE}\n').replace('"broken"\n\n', '"x" * 2_000_000\n\n'),
    ],
    "no_plugin_class": [f"x = 1  {HERE}\n"],
    "several_plugin_classes": [
        _search() + f"\n\nclass Other(SearchPlugin):  {HERE}\n    name = 'other'\n{_TEXTS}{_SEARCH}"
    ],
    "method_missing": [
        _search(search="").replace("class Broken(SearchPlugin):", f"class Broken(SearchPlugin):  {HERE}")
    ],
    "wrong_signature": [
        _search(search=f"    async def search(self):  {HERE}\n        return []\n"),
        _search(f"\n    def set_config(self):  {HERE}\n        pass\n"),
        _search(f"\n    async def get_video_info(self, url, quality):  {HERE}\n        pass\n"),
    ],
    "name_missing": [
        _search(name="").replace("class Broken(SearchPlugin):", f"class Broken(SearchPlugin):  {HERE}")
    ],
    "name_invalid": [_search(name=f'    name = "a/b"  {HERE}\n')],
    "protocols_missing": [
        "from service.sdk import DownloadPlugin\n\n\n"
        f"class Broken(DownloadPlugin):  {HERE}\n    name = 'broken'\n{_TEXTS}\n"
        "    async def download(self, task):\n        return True\n"
    ],
    "schema_invalid": [
        _search(
            f"\n    def get_config_schema(self):\n        return [ConfigField(name='a', type='nix')]  {HERE}\n"
        ),
        _search(f"\n    def get_config_schema(self):  {HERE}\n        return 'nonsense'\n"),
        _search(f"    config_schema = {{'properties': {{'x': {{'type': 'strng'}}}}}}  {HERE}\n"),
        _search(f"    config_schema = {{'properties': {{'x': {{'$ref': '#/$defs/y'}}}}}}  {HERE}\n"),
        _search(f"    config_schema = 5\n    def get_config_schema(self):  {HERE}\n        return 5\n"),
        *[
            _search(f"\n    def get_config_schema(self):  {HERE}\n        {body}\n")
            for body in (
                "return [ConfigField(name='a', default={5: {(): 1}})]",
                "return [ConfigField(name='a', default=float('inf'))]",
                "found = {}; found['a'] = found; return found",
            )
        ],
    ],
    "contract_failed": [_search(f"\n    def __init__(self):\n        raise OSError('no')  {HERE}\n")],
    "config_failed": [_search(f"\n    def set_config(self, config):\n        config['nothing']  {HERE}\n")],
    "start_failed": [
        _search(f"\n    async def start(self):\n        raise OSError('no')  {HERE}\n"),
        # Neither can be described as it is.
        _search(
            "\n    async def start(self):\n"
            f"        raise type('E', (Exception,), {{'__str__': lambda self: exit()}})()  {HERE}\n"
        ),
        # It breaks what its worker works with.
        _search(
            f"\n    async def start(self):  {HERE}\n"
            "        import asyncio\n        asyncio.get_running_loop().stop()\n        await asyncio.sleep(60)\n"
        ),
    ],
    "self_check_failed": [
        _search(f"\n    async def self_check(self):\n        raise OSError('no')  {HERE}\n"),
        _search(f"\n    async def self_check(self):  {HERE}\n        return False\n"),
    ],
    "metadata_invalid": [
        _search(head=f"# /// script\n# dependencies = [1]  {HERE}\n# ///\n"),
        _search(head=f"# /// script\n# dependencies = ][  {HERE}\n# ///\n"),
    ],
    "dependency_refused": [
        needs("git+https://example.invalid/x.git"),
        needs("--index-url=https://example.invalid"),
        needs("linked"),
    ],
    "python_unsuitable": [_search(head=f'# /// script\n# requires-python = ">=3.99"  {HERE}\n# ///\n')],
    "interface_too_old": [
        _search(head=f'# /// script\n# [tool.plugbay]\n# min_interface = "99"  {HERE}\n# ///\n')
    ],
    "dependencies_unresolvable": [needs("old-user").replace("# ]", '#   "new-user",\n# ]')],
    "dependency_not_found": [needs("nowhere-to-be-found"), needs("good==7")],
    "dependency_yanked": [needs("withdrawn==1.0")],
    "dependency_unsupported": [needs("foreign")],
    "dependency_build_refused": [needs("source-only")],
    "dependency_hash_mismatch": [needs("tampered")],
    "registry_unreachable": [needs("ill")],
    "dependencies_failed": [needs("broken")],
}

# The same, where the limits have to be short.
SLOW: dict[str, list[str]] = {
    "import_timeout": [_search(head=f"while True: pass  {HERE}\n")],
    "start_timeout": [
        _search(f"\n    async def start(self):\n        while True: pass  {HERE}\n"),
        _search(
            f"\n    async def start(self):  {HERE}\n        import asyncio\n        await asyncio.sleep(60)\n"
        ),
    ],
    "self_check_timeout": [
        _search(
            f"\n    async def self_check(self):  {HERE}\n        import asyncio\n        await asyncio.sleep(60)\n"
        )
    ],
    "dependencies_timeout": [needs("mute")],
}

# Where the disk has to be small.
FULL: dict[str, list[str]] = {"dependencies_disk_full": [needs("huge")]}

# One with nothing wrong.
FINE = """from service.sdk import SearchPlugin


class Fine(SearchPlugin):  # here
    name = "fine"
    version = "1.0"
    description = "fine"

    async def search(self, keyword, **kwargs):
        self.log.info("looking for %s", keyword)
        return [{"title": keyword, "url": "https://example.org/"}]
"""


def line_of(text: str) -> int | None:
    """The line that is to be named."""
    return next((number for number, line in enumerate(text.split("\n"), 1) if line.endswith(HERE)), None)


def _too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(6 * 1024 * 1024)


# What is made at a plugin's path, by code.
LAYOUT: dict[str, Callable[[Path], None]] = {
    "file_directory": lambda path: path.mkdir(),
    "file_dangling_link": lambda path: path.symlink_to("nowhere"),
    "file_unreadable": lambda path: path.symlink_to("/proc/self/mem"),
    "file_not_a_file": lambda path: os.mkfifo(path),
    "file_too_large": _too_large,
}
