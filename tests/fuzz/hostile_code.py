"""Pieces of code that no plugin should have, and where in a plugin they are put.

Each is a statement, or several; `⏎` ends a line within one. What it may do to its own plugin beyond failing is said by the list that it stands in.
"""

from __future__ import annotations

# At these places of a plugin a statement is put: at module level before or behind the class, or in one of its methods.
PLACES = ("top", "end", "class", "__init__", "set_config", "start", "self_check", "search", "stop")

# They raise, or break something that the plugin itself lives by; the process stays whole.


def _pieces(text: str) -> tuple[str, ...]:
    """One for each line; `⏎` stands for a line's end inside of one."""
    return tuple(line.replace("⏎", "\n") for line in text.strip("\n").split("\n"))


HARMLESS = _pieces(r"""
raise ValueError("boom")
raise Exception("\ud800 \x00 \x1b[31m" + "x" * 200_000)
raise type("\ud800Odd\n", (Exception,), {})("odd")
raise type("E", (Exception,), {"__str__": lambda self: 1 / 0})()
raise type("E", (Exception,), {"__str__": lambda self: 5})()
raise type("E", (Exception,), {"__str__": lambda self: (_ for _ in ()).throw(SystemExit(3))})()
raise type("E", (Exception,), {"__repr__": lambda self: self.__repr__(), "__str__": lambda self: repr(self)})()
raise type("E", (Exception,), {"__class__": property(lambda self: 1 / 0)})()
raise type("E", (BaseException,), {})("base")
raise type(type)("M", (type,), {"__name__": property(lambda cls: 7)})("E", (Exception,), {})("nameless")
raise SyntaxError("not by the compiler", ("elsewhere.py", -3, -7, "text"))
raise SyntaxError("odd", ("elsewhere.py", "ten", None, None))
raise SyntaxError("odd", (__file__, 10**30, 10**30, None))
raise SyntaxError(object(), (__file__, 1, 1, "\ud800"))
raise SyntaxError(None)
raise UnicodeDecodeError("utf-8", b"x", 0, 1, "\ud800")
raise ImportError("no", name="\ud800", path=5)
raise KeyboardInterrupt
raise GeneratorExit
raise StopIteration(5)
raise StopAsyncIteration
raise SystemExit([1, 2])
raise SystemExit(None)
raise MemoryError("not really")
raise RecursionError
raise TimeoutError("mine")
raise PermissionError(13, "mine", "/etc/\ud800")
raise OSError(10**40, object())
import asyncio; raise asyncio.CancelledError("mine")
e = ExceptionGroup("many", [ValueError(n) for n in range(3000)]); raise e
e = ValueError(0)⏎for n in range(400): e = ExceptionGroup(str(n), [e])⏎raise e
e = ValueError(1); f = ValueError(2); e.__cause__ = f; f.__cause__ = e; e.__context__ = e; raise e
e = ValueError("noted"); e.__notes__ = 5; raise e
e = ValueError("noted"); e.add_note("\ud800" * 10_000); raise e
e = ValueError("deep")⏎for n in range(3000):⏎    f = ValueError(n); f.__cause__ = e; e = f⏎raise e
exec("raise ValueError('from a text')")
exec(compile("\n" * 10_000 + "raise ValueError('far down')", __file__, "exec"))
exec(compile("raise ValueError('elsewhere')", "/etc/passwd", "exec"))
exec(compile("raise ValueError('nowhere')", "\ud800", "exec"))
exec("def f(): return f()\nf()")
eval("(" * 150 + ")" * 150)
eval("[" * 5000)
eval("-" * 3000 + "1")
compile("x=" + "(" * 90 + "1" + ")" * 90, "x", "exec")
10 ** 5000 and str(10 ** 5000)
int("9" * 5000)
import json; json.dumps = lambda *a, **k: "[]"; json.loads = lambda *a, **k: {}
import json; json.dumps = json.loads = None
import json; json.JSONEncoder.default = lambda self, o: o; json.encoder.c_make_encoder = None
import builtins; builtins.print = None
import builtins; builtins.__import__ = lambda *a, **k: None
import builtins; del builtins.__build_class__
import asyncio; asyncio.timeout = None; asyncio.get_running_loop = None; asyncio.current_task = None
import asyncio; asyncio.Future = asyncio.Task = asyncio.create_task = asyncio.to_thread = None
import asyncio; asyncio.set_event_loop(None); asyncio.set_event_loop_policy(None)
import asyncio; asyncio.new_event_loop().close()
import asyncio; asyncio.get_event_loop_policy().get_event_loop = None
import inspect; inspect.isawaitable = inspect.signature = inspect.getsourcelines = inspect.iscoroutine = None
import logging; logging.getLogger = None; logging.disable(99); logging.Logger.handle = None
import logging; logging.raiseExceptions = True; logging.getLogger().handlers[:] = [object()]
import logging; logging.shutdown(); logging.Formatter.format = lambda self, r: 1 / 0
import traceback; traceback.TracebackException = traceback.StackSummary = traceback.extract_stack = None
import linecache; linecache.getline = linecache.updatecache = None; linecache.cache = None
import os; os.environ.clear(); os.getpid = lambda: 1; os.path = None
import os; os.sep = "x"; os.fspath = None; os.sched_setscheduler = None
import os; os.chdir("/"); os.umask(0)
import signal; signal.setitimer = signal.signal = None
import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGALRM, signal.SIG_IGN)
import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
import socket; socket.socket = None
import struct; struct.pack = struct.Struct = None
import sys; sys.setrecursionlimit(60)
import sys; sys.setrecursionlimit(10**9)
import sys; sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None
import sys; sys.stdout.close(); sys.stderr.close()
import sys; sys.settrace(lambda *a: 1 / 0)
import sys; sys.setprofile(lambda *a: None)
import sys; sys.excepthook = sys.unraisablehook = lambda *a: 1 / 0
import sys; sys.meta_path.clear(); sys.path.clear(); sys.path_hooks.clear()
import sys; sys.modules["service.sdk"] = sys.modules["asyncio"] = None
import sys; sys.modules[__name__] = None
import sys; sys.modules[__name__] = 5
import sys; del sys.modules[__name__]
import sys; sys.modules = {}
import sys; sys.path_importer_cache = sys.meta_path = sys.path = None
import sys; sys._getframe = None; sys.exc_info = None; sys.getsizeof = None
import sys; sys.set_asyncgen_hooks(lambda g: 1 / 0, lambda g: 1 / 0)
import sys; sys.set_int_max_str_digits(640)
import sys; sys.intern = None; sys.byteorder = 5; sys.version_info = ()
import gc; gc.disable(); gc.set_threshold(1, 1, 1); gc.callbacks.append(lambda *a: 1 / 0)
import threading; threading.Thread(target=lambda: 1 / 0).start()
import threading; threading.Thread = threading.Lock = threading.current_thread = None
import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
import threading, time; [threading.Thread(target=time.sleep, args=(600,)).start() for _ in range(20)]
import threading, time; threading.Thread(target=lambda: [print("busy") or time.sleep(0.01) for _ in range(300)]).start()
import concurrent.futures; concurrent.futures.ThreadPoolExecutor = None
import atexit; atexit.register(lambda: 1 / 0)
import weakref, sys; weakref.finalize(sys.modules[__name__], lambda: 1 / 0)
import contextvars; contextvars.copy_context = None
import warnings; warnings.simplefilter("error"); warnings.warn("mine")
import locale; locale.setlocale(locale.LC_ALL, "C")
import time; time.perf_counter = time.monotonic = lambda: -1e300; time.time = None
import tempfile; tempfile.tempdir = 5
import unicodedata; unicodedata.category = None
import importlib; importlib.import_module = None; importlib.reload(importlib)
import importlib; importlib.import_module(__name__)
import re; re.compile = None; re.match("(a+)+$", "a" * 22 + "b")
import subprocess; subprocess.run(["true"]); subprocess.Popen = None
import subprocess; subprocess.Popen(["sleep", "600"])
import os; os.listdir("/root"); os.stat("/proc/1")
import os; open("../escaped", "w").write("x")
import os; open(os.path.join(os.path.dirname(__file__), "escaped_plugin.py"), "w").write("x")
import os; os.rename(__file__, __file__ + ".away")
import os; os.unlink(__file__)
import os; os.symlink("/etc/passwd", os.path.join(os.environ.get("TMPDIR", "."), "passwd"))
import shutil; shutil.rmtree(__file__.rpartition("plugins")[0], ignore_errors=True)
import socket; socket.create_connection(("127.0.0.1", 9), 1)
import socket; [socket.socketpair() for _ in range(1000)]
import multiprocessing; multiprocessing.set_start_method("fork", force=True)
import ctypes; ctypes.CDLL(None)
import service.worker.contract as c; c.find_class = lambda *a: object
import service.worker.contract as c; c.is_valid_name = lambda name: True
import service.sdk as sdk; sdk.SearchPlugin = object
import service.app
import plugins; plugins.search = None
import plugins.search.no_such_helper
from plugins.search import *
from . import no_such_helper
from ....... import too_far
from __future__ import braces
from __future__ import annotations
import antigravity_of_nobody
await nothing
return 5
yield 5
nonlocal x
break
global __name__; __name__ = 5
global __file__; __file__ = None
global __spec__, __loader__, __package__; __spec__ = __loader__ = __package__ = None
globals().clear()
globals()["\ud800"] = type("\ud800", (), {})
def __getattr__(name): raise SystemExit(name)
def __dir__(): return 5
del __builtins__
__builtins__ = {}
__all__ = 5
__path__ = 5
__path__ = ["/etc"]
x: int = 5; x: "\ud800"
print("\ud800\x00\x1b]0;title\x07" * 100)
print("y" * 300_000)
import sys; sys.stdout.buffer.write(b"\xff\xfe\x00" * 1000); sys.stdout.flush()
import os; os.write(1, b"\n" * 100_000); os.write(2, b"\xff" * 1000)
assert False, "\N{ZERO WIDTH SPACE}"
type X = int
match 5:⏎    case {"a": [*_, (1 | 2)], **rest} if rest: pass
f"{f'{f"{1}"}'}"
async def stray(): pass⏎stray()
class D:⏎    def __del__(self): 1 / 0⏎D()
class D:⏎    def __del__(self): raise SystemExit⏎kept = D()
class D:⏎    __eq__ = __hash__ = __bool__ = __len__ = None⏎bool(D())
""")

# The plugin's own process may end of them.
KILLING = _pieces(r"""
import service.worker.runtime as r; r._dumps = r._loads = None
import service.worker.runtime as r; r.Worker._report = r.Worker._write = None
import service.worker.calling as c; c.Calls = None
import service.worker.faults as f; f.Describer.fault = f._cut = None
import service.wire.frames as f; f.encode = lambda *a: b"garbage"
import builtins; builtins.len = lambda x: 7
import builtins; builtins.isinstance = lambda a, b: True
import builtins; builtins.type = builtins.str = builtins.repr = None
import builtins; builtins.property = builtins.super = builtins.hasattr = builtins.getattr = None
import os; os._exit(0)
import os; os._exit(70)
import os; os.kill(os.getpid(), 9)
import os; os.kill(0, 15)
import os; os.kill(os.getppid(), 9)
import os; os.abort()
import os; os.closerange(0, 4096)
import os; os.close(3)
import os; os.dup2(1, 3)
import os; os.fork()
import os; os.fork() or os._exit(0)
import os; os.execv("/bin/true", ["true"])
import os; os.setsid(); os.kill(0, 9)
import os; os.write(3, b"garbage " * 100)
import os; os.write(3, b"\xff" * 64)
import os; os.write(3, b"\0\0\0\2\0\0\0\0{}")
import os; os.write(3, b"\0\0\0\2\0\0\0\0[]")
import os; os.write(3, b"\0\0\0\0\0\0\0\0" * 500)
import os; h = b'{"t":"hello","protocol":1,"load_ms":-1,"modules":[]}'; os.write(3, len(h).to_bytes(4) + bytes(4) + h)
import os; h = b'{"t":"failed","imports":["\\ud800"]}'; os.write(3, len(h).to_bytes(4) + bytes(4) + h)
import os; h = b'{"t":"failed","imports":[]}'; os.write(3, len(h).to_b"\0\0\0\2" + h + b"{}")
import os; h = b'{"t":"stage","stage":"start"}'; os.write(3, (len(h).to_bytes(4) + bytes(4) + h) * 50)
import os; h = b'{"t":"stage","stage":"\xff"}'; os.write(3, len(h).to_bytes(4) + bytes(4) + h)
import os; h = b'{"t":"result","id":1}'; os.write(3, len(h).to_bytes(4) + b"\0\0\0\1" + h + b"5")
import os; h = b'{"t":"error","id":1}'; os.write(3, len(h).to_bytes(4) + b"\0\0\0\1" + h + b"5")
import os; h = b'{"t":"item","id":1}'; os.write(3, (len(h).to_b"\0\0\0\2" + h + b"{}") * 5000)
import os; h = b'{"t":"note","id":1,"kind":"report"}'; os.write(3, len(h).to_bytes(4) + b"\0\0\0\1" + h + b"5")
import os; h = b'{"t":"imports","modules":["x"]}'; os.write(3, (len(h).to_bytes(4) + bytes(4) + h) * 2)
import os; h = b'{"t":"stopped"}'; os.write(3, (len(h).to_bytes(4) + bytes(4) + h) * 2)
import os; h = b'[' * 100_000; os.write(3, len(h).to_bytes(4) + bytes(4) + h)
import os; h = b'{"t":"' + b'x' * 999_000 + b'"}'; os.write(3, len(h).to_bytes(4) + bytes(4) + h)
import socket; socket.socket(fileno=3).shutdown(2)
import signal; signal.alarm(1)
import signal; signal.setitimer(signal.ITIMER_REAL, 0.01)
import signal; signal.raise_signal(signal.SIGINT)
import signal; signal.raise_signal(signal.SIGTERM)
import signal; signal.raise_signal(signal.SIGSEGV)
import ctypes; ctypes.string_at(0)
import ctypes; ctypes.memset(id(None), 0, 16)
import sys; sys.setrecursionlimit(10**9)⏎def f(): return f()⏎f()
import sys; sys.setrecursionlimit(10**9); x = []⏎for _ in range(10**6): x = [x]⏎repr(x)
x = bytearray(4 << 30)
import threading, os; threading.Timer(0.05, os._exit, (5,)).start()
import threading, os; threading.Timer(0.05, os.close, (3,)).start()
import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))
import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
import faulthandler; faulthandler.enable(); faulthandler._sigsegv()
import gc⏎for o in gc.get_objects():⏎    if type(o) is dict and len(o) > 500: o.clear()
import gc, asyncio⏎for o in gc.get_objects():⏎    if isinstance(o, asyncio.AbstractEventLoop): o.close()
eval("(" * 100_000)
eval("a" + ".a" * 200_000)
eval("-" * 500_000 + "1")
""")

# They do not end by themselves.
HANGING = _pieces(r"""
while True: pass
while True:⏎    try:⏎        while True: pass⏎    except BaseException: pass
import time; time.sleep(600)
import threading; threading.Event().wait()
import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()
import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))⏎while True: pass
import os; os.read(os.pipe()[0], 1)
import re; re.match("(a+)+$", "a" * 40 + "b")
9 ** 9 ** 9
sum(iter(int, 1))
import itertools; list(itertools.cycle("x"))
""")

# What stands for the whole class body of a plugin, or for a part of it: odd, but Python.
MEMBERS = _pieces(r"""
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
async def start(self):⏎    while True:⏎        try: await __import__("asyncio").sleep(600)⏎        except BaseException: pass
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
CLASSES = _pieces(r"""
class M(type):⏎    def __call__(cls, *a): return None|SearchPlugin, metaclass=M
class M(type):⏎    def __getattribute__(cls, name): 1 / 0|SearchPlugin, metaclass=M
class M(type):⏎    def __instancecheck__(cls, x): 1 / 0⏎    __subclasscheck__ = __instancecheck__|SearchPlugin, metaclass=M
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
