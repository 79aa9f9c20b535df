"""One call, one generation: what a call runs in, however the files change meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.live import Live, live_server, save, search_plugin, write
from tests.rounds import SEED, sized

# Answers with what it is made of, after it was let go on by a file.
PATIENT = """
import asyncio, pathlib
from service.sdk import SearchPlugin, SearchResult
VERSION = "{version}"

class Patient(SearchPlugin):
    name = "patient"
    version = VERSION
    description = "waits for a file"

    async def search(self, keyword, **kwargs):
        (self.data_dir / (keyword + ".began")).touch()
        while not (self.data_dir / keyword).exists():
            await asyncio.sleep(0.005)
        from plugins.search import late
        from .late import VALUE
        return [SearchResult(title=VERSION + " " + VALUE + " " + late.VALUE, url=type(self).version)]
"""


# Has a task of its start, and begins a task and a thread in every call.
BEGINS = """
import asyncio, threading, time
from service.sdk import SearchPlugin, SearchResult

class Demo(SearchPlugin):
    name = "demo"
    version = "1"
    description = "begins things"

    async def start(self):
        self.began = True
        self.ticker = asyncio.create_task(self.tick())

    async def tick(self):
        try:
            await asyncio.Event().wait()
        finally:
            print("ticker cancelled")

    async def after(self):
        while not (self.data_dir / "task").exists():
            await asyncio.sleep(0.02)
        print("task of the call ended")

    def later(self):
        while not (self.data_dir / "thread").exists():
            time.sleep(0.02)
        print("thread of the call ended")

    async def search(self, keyword, **kwargs):
        self.task = asyncio.create_task(self.after())
        threading.Thread(target=self.later).start()
        return [SearchResult(title=str(self.began), url=keyword)]

    async def stop(self):
        print("stopped once")
"""

# Has one call that waits to be let go and one that never ends.
NEVER_ENDS = """
import asyncio, os, time
from service.sdk import SearchPlugin, SearchResult

class Demo(SearchPlugin):
    name = "{name}"
    version = "1"
    description = "does not end"

    async def search(self, keyword, **kwargs):
        if keyword == "wait":
            (self.data_dir / "begun").touch()
            while not (self.data_dir / "gate").exists():
                await asyncio.sleep(0.02)
        return [SearchResult(title=str(os.getpid()), url=keyword)]

    {how} get_video_info(self, url):
        {body}
"""


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with live_server(
        tmp_path / "home", PLUGBAY_LIMITS__CALL_S="5", PLUGBAY_LIMITS__SEARCH_S="20"
    ) as live:
        yield live


async def test_a_call_ends_in_the_generation_that_it_began_in(live: Live) -> None:
    file, helper = live.plugins / "search/patient_plugin.py", live.plugins / "search/late.py"
    write(helper, "VALUE = 'old'\n")
    write(file, PATIENT.format(version="1"))
    await live.event("loaded", "search/patient")
    data = live.home / "data/plugins/search/patient"

    async def begin(word: str) -> asyncio.Task[str]:
        task = asyncio.create_task(live.answer("patient", word))
        async with asyncio.timeout(10):
            while not (data / f"{word}.began").exists():
                await asyncio.sleep(0.005)
        return task

    first = await begin("first")
    save(file, PATIENT.format(version="2"))
    await live.event("reloaded", "search/patient")
    second = await begin("second")
    start = len(live.events)
    save(helper, "VALUE = 'new'\n")
    await live.event("reloaded", "search/patient", after=start)
    third = await begin("third")
    deleted = await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "patient"})
    assert (deleted.status, deleted.body["running_calls"]) == (200, 3)
    helper.unlink()
    assert (await live.search("patient")).status == 404

    for word in ("third", "first", "second"):
        (data / word).touch()

    assert [await first, await second, await third] == ["1 old old", "2 old old", "2 new new"]
    await live.until(lambda events: sum(one.kind == "drained" for one in events) == 3)


async def test_start_and_stop_and_what_they_begin(live: Live) -> None:
    file = write(live.plugins / "search/demo_plugin.py", BEGINS)
    await live.event("loaded", "search/demo")
    assert await live.answer("demo") == "True"
    save(file, search_plugin(says="2"))
    await live.event("reloaded", "search/demo")

    async def said(*messages: str) -> None:
        async with asyncio.timeout(4):
            while True:
                lines = (await live.get("/api/plugins/search/demo/logs")).body["lines"]
                if [line["message"] for line in lines if line["generation"] == 1] == [*messages]:
                    return
                await asyncio.sleep(0.02)

    # The ticker is not waited for; what a call began is, and only then the plugin is stopped.
    await said("ticker cancelled")
    write(live.home / "data/plugins/search/demo/task", "")
    await said("ticker cancelled", "task of the call ended")
    write(live.home / "data/plugins/search/demo/thread", "")
    await said("ticker cancelled", "task of the call ended", "thread of the call ended", "stopped once")
    drained = await live.event("drained", "search/demo")
    assert drained.data["forced"] is False


async def test_a_call_that_does_not_end_loses_its_worker_and_no_other_call(tmp_path: Path) -> None:
    home = tmp_path / "home"
    bodies = {"spins": "while True: pass", "sleeps": "time.sleep(1000)"}
    kinds = {f"{body}{len(how)}": (how, body) for how in ("def", "async def") for body in bodies}
    for name, (how, body) in kinds.items():
        text = NEVER_ENDS.format(name=name, how=how, body=bodies[body])
        write(home / f"plugins/search/{name}_plugin.py", text)

    async def loses_its_worker(live: Live, name: str, how: str) -> None:
        id = f"search/{name}"
        pid = await live.answer(name)
        slow = asyncio.create_task(live.answer(name, "wait"))
        async with asyncio.timeout(10):
            while not (home / "data/plugins" / id / "begun").exists():
                await asyncio.sleep(0.02)
        start = len(live.events)
        answer = await live.post("/api/video-info", {"url": "x", "plugin_name": name})
        assert (answer.status, answer.body["code"]) == (504, "plugin_timeout")
        await live.event("reloaded", id, after=start)
        assert await live.answer(name) != pid
        if how == "def":
            write(home / "data/plugins" / id / "gate", "")
            assert await slow == pid
        else:  # it was in the same blocked loop
            slow.cancel()
        drained = await live.event("drained", id, after=start, timeout=30)
        assert drained.data["forced"] is True

    async with live_server(home, PLUGBAY_LIMITS__CALL_S="1") as live, asyncio.TaskGroup() as group:
        for name, (how, _) in kinds.items():
            group.create_task(loses_its_worker(live, name, how))


@pytest.mark.parametrize("saves", [pytest.param(100), pytest.param(1000, marks=pytest.mark.soak)])
@pytest.mark.timeout(300)
async def test_a_storm_of_saves_under_fifty_callers_refuses_nothing(live: Live, saves: int) -> None:
    source = (
        "from plugins.search.half import VALUE as HALF\n"
        + search_plugin(expression="WHOLE + ' ' + HALF() + ' ' + type(self).version", imports="WHOLE = '{n}'")
    ).replace('version = "1"', 'version = "{n}"')
    file = live.plugins / "search/demo_plugin.py"
    write(live.plugins / "search/half.py", "def VALUE():\n    return 'half'\n")
    save(file, source.replace("{n}", "0"))
    await live.event("loaded", "search/demo")
    done = asyncio.Event()
    answers: list[str] = []

    async def caller() -> None:
        while not done.is_set():
            answers.append(await live.answer("demo"))

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(caller())
        for number in range(1, saves + 1):
            save(file, source.replace("{n}", str(number)))
            await asyncio.sleep(0.002)
        await live.until(
            lambda events: (
                events[-1].kind != "loading" and live.mirror()["search/demo"]["version"] == str(saves)
            ),
            timeout=60,
        )
        done.set()

    assert answers
    for answer in answers:
        whole, half, version = answer.split()
        assert (whole, half) == (version, "half"), answer
    assert await live.answer("demo") == f"{saves} half {saves}"
    served = [one.plugin for one in live.events if one.kind == "reloaded"]
    generations = [plugin["generation"] for plugin in served]
    assert generations == sorted(set(generations))
    versions = [int(plugin["version"]) for plugin in served]
    assert versions == sorted(versions)
    assert not [one for one in live.events if one.kind in ("failed", "crashed", "unloaded")]


async def test_a_client_that_resumes_after_any_cut_ends_with_the_servers_state(live: Live) -> None:
    """Clients are cut at random moments of a storm of saves, breaks, deletes and comes-back."""
    import aiohttp

    chance = random.Random(SEED)
    names = [f"p{number}" for number in range(4)]
    done = asyncio.Event()

    async def storm() -> None:
        for number in range(sized(60, 200)):
            file = live.plugins / f"search/{chance.choice(names)}_plugin.py"
            name = file.stem.removesuffix("_plugin")
            roll = chance.random()
            if roll < 0.15:
                file.unlink(missing_ok=True)
            elif roll < 0.35:
                save(file, "def broken(:\n" + str(number))
            else:
                save(file, search_plugin(name, str(number)))
            await asyncio.sleep(chance.random() * 0.03)
        await live.quiet()  # so that whoever comes once more after this is told everything at once
        done.set()

    async def client(seed: int) -> dict[str, object]:
        moments = random.Random(seed)
        listed = await live.get("/api/plugins")
        state = {one["id"]: one for one in listed.body["search"]}
        position = {"epoch": listed.body["epoch"], "seq": listed.body["seq"]}
        last = int(position["seq"])
        async with aiohttp.ClientSession() as http:
            while True:
                finished = done.is_set()
                async with http.ws_connect(live.server.url + "/api/ws") as socket:
                    await socket.send_json(
                        {"jsonrpc": "2.0", "id": 1, "method": "subscribe",
                         "params": {"topics": ["plugins/**"], "since": position}}
                    )  # fmt: skip
                    assert (await socket.receive_json())["result"]["recovered"] is True
                    try:
                        async with asyncio.timeout(2.0 if finished else moments.random() * 0.2):
                            while True:
                                event = await socket.receive_json()
                                if "seq" not in event or event["type"] == "plugbay.heartbeat":
                                    continue
                                assert int(event["seq"]) > last
                                last = int(event["seq"])
                                position = {"epoch": event["epoch"], "seq": event["seq"]}
                                if event["type"] == "plugbay.plugin.unloaded":
                                    state.pop(event["data"]["plugin"]["id"], None)
                                elif "plugin" in event["data"]:
                                    state[event["data"]["plugin"]["id"]] = event["data"]["plugin"]
                    except TimeoutError:
                        socket._response.connection.transport.abort()  # type: ignore[union-attr]  # cut, no goodbye
                if finished:
                    return dict(state)

    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(client(SEED + number)) for number in range(8)]
        group.create_task(storm())
    listed = await live.listed()
    for one in (*listed.values(), *(plugin for task in clients for plugin in task.result().values())):
        for passing in ("running_calls", "draining"):
            one.pop(passing, None)  # type: ignore[attr-defined]  # a plugin is a dictionary
    for task in clients:
        assert task.result() == listed


async def test_half_an_emoji_costs_itself_only(live: Live) -> None:
    write(live.plugins / "search/demo_plugin.py", search_plugin(expression="'cut \\ud83d'"))
    await live.event("loaded", "search/demo")
    assert await live.answer("demo") == "cut ?"
    assert "crashed search/demo" not in live.kinds()


async def test_a_pool_that_waits_for_work_does_not_keep_a_generation(live: Live) -> None:
    """Threads of pools end with the process only: `asyncio.to_thread` leaves one behind."""
    source = search_plugin(
        imports="import asyncio, time", expression="await asyncio.to_thread(lambda: 'from a thread')"
    )
    file = write(live.plugins / "search/demo_plugin.py", source)
    await live.event("loaded", "search/demo")
    assert await live.answer("demo") == "from a thread"
    save(file, search_plugin(says="2"))
    drained = await live.event("drained", "search/demo")
    assert drained.data["forced"] is False
    assert drained.data["drain_ms"] < 4000  # not the seconds that calls are waited for


async def test_an_async_set_config_is_awaited(live: Live) -> None:
    source = search_plugin(expression="self.key") + (
        "\n    async def set_config(self, config):\n        self.key = 'awaited'\n"
    )
    write(live.plugins / "search/demo_plugin.py", source)
    await live.event("loaded", "search/demo")
    assert await live.answer("demo") == "awaited"
