"""The plugins that the model writes: each is described by a few facts, and answers with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What the text of a plugin may have wrong, and the stage at which that is found.
FAULTS = {
    "typo": "import",
    "raises": "import",
    "no class": "contract",
    "bad name": "contract",
    "does not start": "start",
    "fails its check": "self_check",
}
# Those with which nothing of a text is run to its end.
UNRUN = ("typo", "raises")
# Versions of the library `greeting` that a plugin may ask for; what the others are is in `UNMET`.
LIBRARIES = ("1.0", "2.0")
UNMET = ("9.9", "from an address")
HELPERS = ("shared/tools.py", "search/tools.py")
# The other module of a plugin that is a folder, which it always imports.
PART = "part"
DEFAULT_LIMIT = 1


@dataclass(frozen=True)
class Code:
    """The main file of a plugin.

    Attributes:
        name: that it says.
        version: that it says; no two texts have the same.
        fault: what is wrong with it, one of `FAULTS`.
        helper: the module that it imports, one of `HELPERS`, or `PART`.
        late: whether it does so in the call, and not at its beginning.
        library: the version of `greeting` that it depends on.
        beside: whether a requirements file says so, and not the file itself.
        needs_word: whether it has a setting that is required.
    """

    name: str
    version: str
    fault: str | None = None
    helper: str | None = None
    late: bool = False
    library: str | None = None
    beside: bool = False
    needs_word: bool = False

    def text(self, type_: str) -> str:
        """What stands in the file of a plugin of this type."""
        root = "" if self.helper == PART else "plugins"
        module = self.helper.removesuffix(".py").replace("/", ".") if self.helper else ""
        imports = f"from {root}.{module} import VALUE\n" if module else ""
        base = {"search": "SearchPlugin", "parser": "ParserPlugin"}[type_]
        says = [repr(self.says), "f' limit={self.config[\"limit\"]}'"]
        says += ["f' helper={VALUE}'"] if self.helper else []
        says += ["f' library={greeting.VERSION}'"] if self.library else []
        fields = [_LIMIT, _SECRET, *([_WORD] if self.needs_word else [])]
        return "".join(
            [
                _BLOCK.format(self.requirement) if self.library and not self.beside else "",
                f"import asyncio\nfrom service.sdk import ConfigField, {base}, SearchResult\n",
                "" if self.late else imports,
                "import greeting\n" if self.library else "",
                "def (:\n" if self.fault == "typo" else "",
                "raise RuntimeError('as written')\n" if self.fault == "raises" else "",
                f"class Written({'object' if self.fault == 'no class' else base}):\n",
                f"    name = {('a/b' if self.fault == 'bad name' else self.name)!r}\n",
                f"    version = {self.version!r}\n",
                "    description = 'as the model wrote it'\n",
                f"    def get_config_schema(self):\n        return [{', '.join(fields)}]\n",
                _RAISING.format("start") if self.fault == "does not start" else "",
                _RAISING.format("self_check") if self.fault == "fails its check" else "",
                _SAYS,
                f"        {imports}" if self.late and imports else "",
                f"        return {' + '.join(says)}\n",
                _CALLS[type_],
            ]
        )

    @property
    def says(self) -> str:
        """How its answers begin."""
        return f"{self.name} {self.version}"

    @property
    def requirement(self) -> str:
        """The line of what it depends on."""
        if self.library == "from an address":
            return "greeting @ http://127.0.0.1:9/greeting-1.0-py3-none-any.whl"
        return f"greeting=={self.library}"


def answer(code: Code, config: Mapping[str, Any], helper: int | None) -> str:
    """What a call of a plugin gives that was loaded with this configuration and this helper."""
    said = f"{code.says} limit={config.get('limit', DEFAULT_LIMIT)}"
    said += f" helper={helper}" if code.helper else ""
    return said + (f" library={code.library}" if code.library else "")


_BLOCK = """\
# /// script
# dependencies = ["{}"]
# ///
"""
_LIMIT = "ConfigField(name='limit', label='Limit', type='number', default=1)"
_SECRET = "ConfigField(name='secret', label='Secret', type='password')"
_WORD = "ConfigField(name='word', label='Word', required=True)"
_RAISING = """\
    async def {}(self):
        raise RuntimeError('as written')
"""
# A wish that is an address on this machine is waited for: the call ends when whoever made it wants that.
_SAYS = """\
    async def says(self, wish):
        if wish.startswith("http://127.0.0.1:"):
            port, _, path = wish.removeprefix("http://127.0.0.1:").partition("/")
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            writer.write(f"GET /{path} HTTP/1.0\\r\\n\\r\\n".encode())
            await reader.read()
            writer.close()
"""
_CALLS = {
    "search": """\
    async def search(self, keyword, **kwargs):
        return [SearchResult(title=await self.says(keyword), url=keyword)]
""",
    "parser": """\
    async def parse_url(self, url):
        return [{"name": await self.says(url), "url": url}]
""",
}
