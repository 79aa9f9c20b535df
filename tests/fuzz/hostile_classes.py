"""Members, bases and metaclasses that no plugin's class should have."""

from __future__ import annotations

from tests.fuzz.hostile_code import pieces

# A member of the class; odd, but Python.
MEMBERS = pieces(r"""
name = ""
name = None
name = 5
name = "x" * 65
name = "a\u200bb"
name = "\u202edemo"
name = "\ud800"
name = "../../x"
name = "a/b"
name = "\x00"
name = b"bytes"
name = property(lambda self: 1 / 0)
name = property(lambda self: "n" * 64)
name = type("S", (str,), {"__len__": lambda s: 0, "__str__": lambda s: 1 / 0, "__eq__": None, "__hash__": None})("odd")
version = property(lambda self: (_ for _ in ()).throw(SystemExit))
version = type("V", (), {"__str__": lambda s: 1 / 0})()
version = "1\ud800"
version = "9" * 100_000
version = 10 ** 4999
version = ["1"]
description = "x" * 3_000_000
description = "\ud800 \x00 <img src=x onerror=alert(1)>"
description = type("D", (str,), {"encode": None, "__iter__": None})("odd")
exclusive = property(lambda self: 1 / 0)
exclusive = type("B", (), {"__bool__": lambda s: 5})()
resumable = float("nan")
supported_protocols = "http"
supported_protocols = ["http", 5, None, "\ud800"]
supported_protocols = property(lambda self: iter(int, 1))
supported_protocols = ["x"] * 100_000
config_schema = {"properties": {"a": {"type": "string", "default": float("nan")}}}
config_schema = {"properties": {"a": {"$ref": "#/properties/a"}}}
config_schema = {"properties": {5: {"type": "string"}}}
config_schema = {"properties": {"\ud800": {"type": "string"}}}
config_schema = {"properties": {"a": {"type": "string", "pattern": "(a+)+$", "default": "a" * 40}}}
config_schema = {"properties": {str(n): {"type": "string"} for n in range(20_000)}}
config_schema = {"properties": {"a": {"default": object()}}}
config_schema = {"type": "array"}
config_schema = {"properties": []}
config_schema = {"$ref": "http://127.0.0.1:9/schema"}
config_schema = {"required": "all"}
config_schema = d = {}; d["properties"] = {"a": d}
config_schema = d = {}; d["a"] = d
get_config_schema = lambda self: iter(int, 1)
get_config_schema = lambda self: [5]
get_config_schema = lambda self: [None] * 1000
get_config_schema = lambda self: [{"name": "a"}, {"name": "a"}]
get_config_schema = lambda self: [{"name": 5}]
get_config_schema = lambda self: [{"name": "", "type": "text"}]
get_config_schema = lambda self: [{"name": "a", "type": ["text"]}]
get_config_schema = lambda self: [{"name": "a", "type": "select", "options": iter(int, 1)}]
get_config_schema = lambda self: [{"name": "a", "default": float("inf")}]
get_config_schema = lambda self: [{"name": "a", "default": 10 ** 400}]
get_config_schema = lambda self: [{"name": "a", "default": {1, 2}}]
get_config_schema = lambda self: [{"name": "a", "default": {5: {(): 1}}}]
get_config_schema = lambda self: [{"name": "a\ud800", "label": "\ud800"}]
get_config_schema = lambda self: [{"name": str(n)} for n in range(20_000)]
get_config_schema = lambda self: [{"name": "a", "required": type("B", (), {"__bool__": lambda s: 1 / 0})()}]
get_config_schema = lambda self: (lambda f: f.append({"name": "a", "type": "list", "fields": f}) or f)([])
get_config_schema = lambda self: (lambda d: d.update(default=d) or [d])({"name": "a"})
get_config_schema = lambda self, x: []
get_config_schema = property(lambda self: 1 / 0)
get_config_schema = 5
async def get_config_schema(self): return []
def get_config_schema(self): yield {"name": "a"}
def get_config_schema(self): return self.get_config_schema()
search = None
search = 5
search = staticmethod(len)
search = classmethod(lambda cls, *a, **k: [])
search = property(lambda self: 1 / 0)
search = type("C", (), {"__call__": lambda s, *a, **k: [], "__get__": lambda *a: 1 / 0})()
search = __import__("functools").partial(lambda *a, **k: [])
search = __import__("functools").lru_cache(lambda *a, **k: [])
def search(self, keyword, /, **kwargs): return []
def search(*args): return args
def search(self, keyword="", *, must, **kwargs): return []
def search(self, keyword, **kwargs): return 5
def search(self, keyword, **kwargs): return [5, None, float("nan"), {5: b"x"}, object()]
def search(self, keyword, **kwargs): return [{"title": "\ud800", "url": None, "metadata": {"a": float("inf")}}]
def search(self, keyword, **kwargs): x = []; x.append(x); return x
def search(self, keyword, **kwargs): return [{"title": "x" * 20_000_000}]
def search(self, keyword, **kwargs): yield from ({"title": str(n)} for n in range(20_000))
async def search(self, keyword, **kwargs):⏎    yield {"title": "one"}⏎    raise SystemExit
async def search(self, keyword, **kwargs):⏎    while True: yield
async def search(self, keyword, **kwargs): raise KeyboardInterrupt
async def search(self, keyword, **kwargs): return await self.search(keyword)
async def search(self, keyword, **kwargs): __import__("asyncio").current_task().cancel()
async def search(self, keyword, **kwargs): __import__("asyncio").get_running_loop().stop()
async def search(self, keyword, **kwargs): __import__("asyncio").get_running_loop().close()
__init__ = None
__new__ = None
__new__ = lambda cls: object()
__slots__ = ()
__slots__ = ("name",)
__getattribute__ = lambda self, name: 1 / 0
__getattribute__ = lambda self, name: self.nothing
__getattr__ = lambda self, name: self
__setattr__ = lambda self, name, value: 1 / 0
__del__ = lambda self: 1 / 0
__class__ = 5
__doc__ = "\ud800"
__module__ = "elsewhere"
__module__ = 5
__qualname__ = "\ud800"
__abstractmethods__ = frozenset({"search"})
__abstractmethods__ = 5
__init_subclass__ = None
config = None
config = property(lambda self: 1 / 0)
log = None
log = 5
data_dir = None
start = None
start = 5
stop = lambda self, x: 1
async def start(self): return object()
async def start(self): self.t = __import__("asyncio").create_task(__import__("asyncio").sleep(600))
async def start(self): __import__("asyncio").get_running_loop().call_soon(lambda: 1 / 0)
async def start(self): __import__("asyncio").current_task().cancel(); await __import__("asyncio").sleep(1)
async def start(self): await __import__("asyncio").get_running_loop().create_future()
async def start(self):⏎    while True:⏎        try: await __import__("asyncio").sleep(9)⏎        except BaseException: 0
def start(self): yield
async def start(self): yield
self_check = False
async def self_check(self): return False
async def self_check(self): raise StopAsyncIteration
def set_config(self, config): config.clear(); self.config = self
def set_config(self, config): return 5
def set_config(self): pass
""")

# What stands before `class`, and the bases or the metaclass that the class then has.
CLASSES = pieces(r"""
class M(type):⏎    def __call__(cls, *a): return None|SearchPlugin, metaclass=M
class M(type):⏎    def __getattribute__(cls, name): 1 / 0|SearchPlugin, metaclass=M
class M(type):⏎    __instancecheck__ = __subclasscheck__ = lambda cls, x: 1 / 0|SearchPlugin, metaclass=M
class M(type):⏎    __name__ = property(lambda cls: 5)|SearchPlugin, metaclass=M
class M(type):⏎    __module__ = property(lambda cls: 5)|SearchPlugin, metaclass=M
class M(type):⏎    __eq__ = lambda a, b: True⏎    __hash__ = lambda s: 1|SearchPlugin, metaclass=M
class M(type):⏎    __hash__ = None|SearchPlugin, metaclass=M
class M(type):⏎    def mro(cls): return (cls, object)|SearchPlugin, metaclass=M
class M(type):⏎    @classmethod⏎    def __prepare__(m, *a): return 5|SearchPlugin, metaclass=M
class M(type):⏎    def __new__(m, *a): raise SystemExit|SearchPlugin, metaclass=M
class M(type):⏎    def __new__(m, n, b, d): return super().__new__(m, "\ud800", b, d)|SearchPlugin, metaclass=M
def meta(*a): return 5|SearchPlugin, metaclass=meta
class Step(SearchPlugin): pass|Step
class Step(SearchPlugin):⏎    async def search(self, keyword, **kwargs): return []|Step
import abc|SearchPlugin, metaclass=abc.ABCMeta
import enum|SearchPlugin, enum.Enum
import typing|SearchPlugin, typing.Protocol
import typing; T = typing.TypeVar("T")|SearchPlugin, typing.Generic[T]
import dataclasses|SearchPlugin, tuple
|SearchPlugin, SearchPlugin
|SearchPlugin, no=5
|SearchPlugin, dict
|SearchPlugin, Exception
|object
|Missing
|*[SearchPlugin] * 1
|(lambda: SearchPlugin)()
""")
