"""Pieces of code that no plugin should have, and where in a plugin they are put.

Each is a statement, or several; `⏎` ends a line within one. What it may do to its own plugin beyond failing is said by
the list that it stands in.
"""

from __future__ import annotations

# At these places of a plugin a statement is put: at module level before or behind the class, or in one of its methods.
PLACES = ("top", "end", "class", "__init__", "set_config", "start", "self_check", "search", "stop")

# They raise, or break something that the plugin itself lives by; the process stays whole.


def pieces(text: str) -> tuple[str, ...]:
    """One for each line; `⏎` stands for a line's end inside of one."""
    return tuple(line.replace("⏎", "\n") for line in text.strip("\n").split("\n"))


HARMLESS = pieces(r"""
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
KILLING = pieces(r"""
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
HANGING = pieces(r"""
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
