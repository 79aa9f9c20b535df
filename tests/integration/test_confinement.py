"""What a plugin can do and cannot, tried inside a real worker of a real server: of root, and of an ordinary user."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.integration.attempts import asking, attempt, plugin, put
from tests.integration.live import Live, connected, ready, write
from tests.integration.process_tree import template_of
from tests.integration.server_process import environment, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = 65534
TOKEN = "a-token-that-is-kept-in-a-file"

# The names in them: `home`, the processes `server`, `template`, `neighbour` (another plugin), and `port` of a listener.
DENIED = {
    "the passwords of the system": "reads('/etc/shadow')",
    "the server's configuration": "reads(home + '/config/plugins.json')",
    "the database": "reads(home + '/data/plugbay.db')",
    "the token": "reads(home + '/data/token')",
    "another plugin's data": "reads(home + '/data/plugins/search/neighbour/kept')",
    "another plugin's folder": "os.listdir(home + '/data/plugins/search/neighbour')",
    "a file of the user's": "reads(home + '/private')",
    "another plugin's memory": "reads(f'/proc/{neighbour}/mem')",
    "the server's memory": "reads(f'/proc/{server}/mem')",
    "the server's environment": "reads(f'/proc/{server}/environ')",
    "what the server runs": "reads(f'/proc/{server}/cmdline')",
    "the server's descriptors": "os.listdir(f'/proc/{server}/fd')",
    "its own source": "writes(home + '/plugins/search/tries_plugin.py')",
    "its own source, removed": "os.unlink(home + '/plugins/search/tries_plugin.py')",
    "its own source, renamed": "os.rename(home + '/plugins/search/tries_plugin.py', plugin.data_dir / 'x')",
    "its own source, linked": "os.link(home + '/plugins/search/tries_plugin.py', plugin.data_dir / 'x')",
    "its own source, emptied": "os.truncate(home + '/plugins/search/tries_plugin.py', 0)",
    "modes of its own source": "os.chmod(home + '/plugins/search/tries_plugin.py', 0o777)",
    "attributes of the file system": "syscall(469, 469, -100, ctypes.c_char_p(b'.'), 0, 0, 0)",
    "another source": "writes(home + '/plugins/search/neighbour_plugin.py')",
    "a new plugin": "writes(home + '/plugins/search/new_plugin.py')",
    "a new configuration": "writes(home + '/config/new.json')",
    "the server's packages": "writes(sys.modules['service.sdk'].__file__)",
    "the standard library": "writes(os.__file__)",
    "the folder of temporary files": "writes('/tmp/of-a-plugin')",
    "shared memory with a name": "writes('/dev/shm/of-a-plugin')",
    "signals to the server": "os.kill(server, 0)",
    "signals to the template": "os.kill(template, signal.SIGSTOP)",
    "signals to another plugin": "os.kill(neighbour, 0)",
    "signals by descriptor": "signal.pidfd_send_signal(os.pidfd_open(neighbour), signal.SIGKILL)",
    "a server's limits": "syscall(302, 261, server, 7, 0, 0)",
    "a server's priority": "os.setpriority(os.PRIO_PROCESS, server, 10)",
    "a server's processors": "os.sched_setaffinity(server, [0])",
    "a server's scheduling": "os.sched_setscheduler(server, os.SCHED_IDLE, os.sched_param(0))",
    "ptrace of the server": "syscall(101, 117, 16, server, 0, 0)",
    "ptrace of another plugin": "syscall(101, 117, 0x4206, neighbour, 0, 0)",
    "process_vm_readv": "syscall(310, 270, neighbour, 0, 0, 0, 0, 0)",
    "process_vm_writev": "syscall(311, 271, neighbour, 0, 0, 0, 0, 0)",
    "descriptors of others": "syscall(438, 438, os.pidfd_open(neighbour), 0, 0)",
    "path sockets": "socket.socket(socket.AF_UNIX)",
    "path sockets by a pair": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "raw sockets": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "packet sockets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)",
    "the kernel's ciphers": "socket.socket(38, socket.SOCK_SEQPACKET)",
    "mount": "syscall(165, 40, 0, 0, 0, 0, 0)",
    "a new mount interface": "syscall(430, 430, 0, 0)",
    "pivot_root": "syscall(155, 41, 0, 0)",
    "chroot": "os.chroot('/')",
    "bpf": "syscall(321, 280, 0, 0, 0)",
    "keyctl": "syscall(250, 219, 0, -3, 0)",
    "add_key": "syscall(248, 217, 0, 0, 0, 0, 0)",
    "unshare of users": "syscall(272, 97, 0x10000000)",
    "unshare of mounts": "syscall(272, 97, 0x20000)",
    "unshare of the network": "syscall(272, 97, 0x40000000)",
    "clone into namespaces": "syscall(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)",
    "setns": "syscall(308, 268, 0, 0)",
    "perf": "syscall(298, 241, 0, 0, 0, 0, 0)",
    "io_uring": "syscall(425, 425, 8, ctypes.create_string_buffer(256))",
    "userfaultfd": "syscall(323, 282, 1)",
    "file handles": "syscall(304, 265, 0, 0, 0)",
    "fanotify": "syscall(300, 262, 0, 0)",
    "modules": "syscall(175, 105, 0, 0, 0)",
    "a new kernel": "syscall(246, 104, 0, 0, 0, 0)",
    "swap": "syscall(167, 224, 0, 0)",
    "reboot": "syscall(169, 142, 0, 0, 0, 0)",
    "the clock": "time.clock_settime(time.CLOCK_REALTIME, time.time())",
    "the host's name": "socket.sethostname('plugin')",
    "files in memory": "os.memfd_create('x')",
    "System V shared memory": "syscall(29, 194, 0, 4096, 0o1600)",
    "message queues": "syscall(240, 180, ctypes.c_char_p(b'x'), 0o102, 0o600, 0)",
    "personality": "syscall(135, 92, 0x0040000)",
    "typing into a terminal": "syscall(16, 29, 0, 0x5412, ctypes.c_char_p(b'x'))",
    "outliving the server": "syscall(157, 167, 1, 0)",
    "leaving what it started to others": "syscall(157, 167, 36, 0)",
    "a child that is not its own": "syscall(56, 220, 0x8000 | signal.SIGCHLD, 0, 0, 0, 0)",
    "another user": "os.setuid(0) or os.getuid() and 'EPERM'",
    "rights of a program": "in_child(lambda: os.setresuid(0, 0, 0))",
    "a child that reads": "in_child(lambda: reads(home + '/config/plugins.json'))",
    "a thread that reads": "asyncio.run(asyncio.to_thread(reads, home + '/config/plugins.json'))",
}
# What the bundled plugins and most others need, with what it gives.
ALLOWED = {
    "its own folder": (
        "(plugin.data_dir / 'x').write_text('x'), (plugin.data_dir / 'x').unlink()",
        "(1, None)",
    ),
    "folders in it": ("(plugin.data_dir / 'a/b').mkdir(parents=True, exist_ok=True)", "None"),
    "temporary files": ("pathlib.Path(tempfile.mkdtemp()).is_relative_to(plugin.data_dir)", "True"),
    "a database": ("list(sqlite3.connect(plugin.data_dir / 'd').execute('select 1'))", "[(1,)]"),
    "modes of its own": ("writes(plugin.data_dir / 'm') and os.chmod(plugin.data_dir / 'm', 0o600)", "None"),
    "certificates": (
        "bool(ssl.create_default_context().get_ca_certs())",
        str(bool(os.path.exists("/etc/ssl/certs"))),
    ),
    "time zones": ("str(zoneinfo.ZoneInfo('Asia/Shanghai'))", "Asia/Shanghai"),
    "names": ("socket.getaddrinfo('localhost', 80)[0][4][1]", "80"),
    "TCP": ("socket.create_connection(('127.0.0.1', port), 5).close()", "None"),
    "UDP": ("socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))", "1"),
    "listening": ("socket.create_server(('127.0.0.1', 0)).close()", "None"),
    "interfaces": ("'lo' in [name for _, name in socket.if_nameindex()]", "True"),
    "threads": ("threading.Thread(target=str).start()", "None"),
    "an event loop": ("asyncio.run(asyncio.sleep(0))", "None"),
    "programs": (
        "subprocess.run(['/bin/sh', '-c', 'echo $((1 + 1))'], capture_output=True).stdout",
        r"b'2\n'",
    ),
    "programs that keep modes": (
        "subprocess.run(['/bin/sh', '-c', 'echo x > one; cp -p one two; sed -i s/x/y/ two'], cwd=plugin.data_dir,"
        " capture_output=True).stderr",
        "b''",
    ),
    "Python": ("subprocess.run([sys.executable, '-c', 'import ssl']).returncode", "0"),
    "ending what it started": ("subprocess.Popen(['sleep', '60']).kill()", "None"),
    "itself in /proc": ("'Name' in reads('/proc/self/status')", "True"),
    "devices": ("writes('/dev/null') + len(os.urandom(1)) + len(reads('/dev/zero'))", "66"),
    "no descriptor that is not its own": (
        "sorted(stat.S_IFMT(os.fstat(fd).st_mode) for fd in range(4)) and"
        " [fd for fd in range(4, 256) if os.path.exists(f'/proc/self/fd/{fd}') and stat.S_ISREG(os.fstat(fd).st_mode)]",
        "[]",
    ),
    "no secret of the environment": (
        "[name for name in os.environ if 'SECRET' in name or name.startswith(('PLUGBAY_', 'UV_'))]",
        "[]",
    ),
}


class Tried(NamedTuple):
    """A server, and the names that attempts may use."""

    live: Live
    names: dict[str, Any]


@pytest.fixture(scope="module")
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="module", params=["root", "ordinary user"])
def as_user(request: pytest.FixtureRequest) -> str:
    who: str = request.param
    if os.geteuid() != 0 and who == "root":
        pytest.skip("only root can run a server of root")
    return who


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tried(as_user: str, listener: int) -> AsyncIterator[Tried]:
    # Not below pytest's own folder, which nobody else may look into.
    home = Path(tempfile.mkdtemp(prefix="plugbay-"))
    try:
        put(home, "tries", plugin("tries"))
        put(home, "neighbour", plugin("neighbour"))
        put(home, "offline", plugin("offline", head=asking(network=False)))
        put(home, "ported", plugin("ported", head=asking(network=[listener])))
        write(home / "private", "private")
        write(home / "data/token", TOKEN)
        write(home / "config/plugins.json", "{}")
        python = sys.executable
        if as_user == "ordinary user" and os.geteuid() == 0:
            python = _as_nobody(home)
        environ = environment(A_SECRET="x", HOME=str(home), PLUGBAY_SERVER__TOKEN=TOKEN)
        async with running_server(home, environ=environ, python=python) as server, connected(server) as live:
            await ready(live)
            neighbour = int(await attempt(live, "neighbour", "os.getpid()"))
            await attempt(live, "neighbour", "writes(plugin.data_dir / 'kept')")
            pid = server.process.pid
            names = {
                "home": str(home),
                "server": pid,
                "template": template_of(pid),
                "neighbour": neighbour,
                "port": listener,
            }
            yield Tried(live, names)
    finally:
        shutil.rmtree(home)


def _as_nobody(home: Path) -> str:
    """A program that runs Python as an ordinary user, also where the interpreter lies below a private home."""
    for path in [home, *home.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    steps = []
    base = Path(sys.base_prefix)
    closed = [one for one in base.parents if not one.stat().st_mode & 0o001]
    if closed:
        steps = [
            f"mkdir -p {home}/.base",
            f"mount --bind {base} {home}/.base",
            f"mount -t tmpfs -o mode=755 none {closed[-1]}",
            f"mkdir -p {base}",
            f"mount --move {home}/.base {base}",
        ]
    drop = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --inh-caps=-all --bounding-set=-all"
    inner = write(home / ".inner", "\n".join(["set -e", *steps, f'exec {drop} "$@"', ""]))
    outer = write(home / ".python", f'#!/bin/sh\nexec unshare -m sh {inner} {sys.executable} "$@"\n')
    outer.chmod(0o755)
    return str(outer)


@pytest.mark.parametrize("what", DENIED)
async def test_denied(tried: Tried, what: str) -> None:
    refused = {"EPERM", "EACCES"} | ({"EXDEV"} if what.endswith(("renamed", "linked")) else set())
    assert await attempt(tried.live, "tries", DENIED[what], **tried.names) in refused


@pytest.mark.parametrize("what", ALLOWED)
async def test_allowed(tried: Tried, what: str) -> None:
    code, expected = ALLOWED[what]
    assert await attempt(tried.live, "tries", code, **tried.names) == expected


async def test_a_pair_of_sockets_leads_nowhere_else(tried: Tried) -> None:
    path = tried.names["home"] + "/socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        os.chmod(path, 0o777)
        listening.listen()
        for before in ("", "b.close()", "a.shutdown(2)"):
            code = f"a, b = socket.socketpair()\n{before}"
            assert await attempt(tried.live, "tries", "a.connect(path)", code, path=path) == "EISCONN"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="there is one convention of calls only")
async def test_calls_with_other_numbers_are_denied(tried: Tried) -> None:
    assert await attempt(tried.live, "tries", "syscall(0x40000000 + 39, 0)") == "EPERM"


@pytest.mark.parametrize(
    "how",
    [
        "socket.create_connection(('127.0.0.1', port), 5)",
        "socket.create_connection(('::1', port), 5)",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('::1', port))",
        "socket.socket(socket.AF_UNIX)",
    ],
)
async def test_without_the_network_nothing_is_reached(tried: Tried, how: str) -> None:
    assert await attempt(tried.live, "offline", how, **tried.names) == "EPERM"


async def test_of_a_list_of_ports_no_other_is_reached(tried: Tried) -> None:
    connect = "socket.create_connection(('127.0.0.1', {}), 5).close()"
    assert await attempt(tried.live, "ported", connect.format("port"), **tried.names) == "None"
    assert await attempt(tried.live, "ported", connect.format("port - 1"), **tried.names) == "EACCES"
    sneaky = "socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', port - 1))"
    assert await attempt(tried.live, "ported", sneaky, **tried.names) == "EPERM"
    instead = "socket.socket().setsockopt(socket.IPPROTO_TCP, 31, b'tls')"
    assert await attempt(tried.live, "ported", instead) == "EPERM"
    other = "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)"
    assert await attempt(tried.live, "ported", other, **tried.names) == "EPERM"


# Each gives the status of the server's answer.
OWN_PORT = {
    "HTTP": "urllib.request.urlopen(url).status",
    "a name": "urllib.request.urlopen(url.replace('127.0.0.1', 'localhost')).status",
    "a program": (
        "subprocess.run([sys.executable, '-c', f'import urllib.request; urllib.request.urlopen({url!r})'],"
        " capture_output=True).stderr.decode()"
    ),
    "a child that lives on": (
        "subprocess.run([sys.executable, '-c', f'import os, urllib.request; os.fork() or os.setsid() or"
        " urllib.request.urlopen({url!r})'], capture_output=True).stderr.decode()"
    ),
    "a socket that nobody holds": "asked_while_it_is_away(url)",
}
AWAY = """
def asked_while_it_is_away(url):
    import urllib.parse
    there, here = socket.socketpair()
    port = urllib.parse.urlsplit(url).port
    with socket.create_connection(('127.0.0.1', port)) as asking:
        asking.sendall(b'GET /api/plugins HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n')
        socket.send_fds(there, [b'x'], [asking.fileno()])
    time.sleep(0.5)
    _, (fd,), _, _ = socket.recv_fds(here, 1, 1)
    with socket.socket(fileno=fd) as asking:
        return asking.recv(100).decode()
"""


@pytest.mark.parametrize("how", OWN_PORT)
async def test_a_plugin_is_kept_from_the_servers_own_api(tried: Tried, how: str) -> None:
    url = f"{tried.live.server.url}/api/plugins"
    came = await attempt(tried.live, "tries", OWN_PORT[how], AWAY, url=url, **tried.names)
    assert "403" in came


@pytest.mark.parametrize("address", ["::1", "::", "127.0.0.1", "0.0.0.0"])
async def test_a_plugin_does_not_take_the_servers_place(tried: Tried, address: str) -> None:
    port = int(tried.live.server.url.rpartition(":")[2])
    listening = (
        "one = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)\n"
        "one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "if ':' in address: one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)\n"
        "one.bind((address, port)), one.listen()"
    )
    assert await attempt(tried.live, "tries", "1", listening, address=address, port=port) == "EADDRINUSE"


async def test_who_has_the_token_is_let_in(tried: Tried) -> None:
    url = f"{tried.live.server.url}/api/plugins"
    ask = "urllib.request.urlopen(urllib.request.Request(url, headers={'Authorization': 'Bearer ' + token})).status"
    assert await attempt(tried.live, "tries", ask, url=url, token=TOKEN) == "200"
    assert "403" in await attempt(tried.live, "tries", ask, url=url, token=TOKEN + "x")


async def test_a_cookie_from_somebodys_browser_is_no_token(tried: Tried) -> None:
    base = tried.live.server.url
    signed_in = (await tried.live.request("GET", f"/?token={TOKEN}", allow_redirects=False)).headers[
        "Set-Cookie"
    ]
    ask = "urllib.request.urlopen(urllib.request.Request(url, headers={'Cookie': cookie})).status"
    cookie = signed_in.partition(";")[0]
    assert "403" in await attempt(tried.live, "tries", ask, url=f"{base}/api/plugins", cookie=cookie)


async def test_of_a_list_of_ports_the_servers_own_is_left_out(tried: Tried) -> None:
    port = int(tried.live.server.url.rpartition(":")[2])
    put(tried.live.home, "greedy", plugin("greedy", head=asking(network=[port])))
    await tried.live.event("loaded", "search/greedy")
    connect = f"socket.create_connection(('127.0.0.1', {port}), 5)"
    assert await attempt(tried.live, "greedy", connect) == "EACCES"
