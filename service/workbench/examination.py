"""One plugin examined: read, loaded in a throw-away worker, called if wanted, measured, stopped: and its report."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from service.errors import LoadFailed
from service.host.files.sources import ROOT_PACKAGE, Snapshot
from service.host.generation import Generation, describe_exit
from service.host.workers.channel import ChannelClosed, MethodRaised
from service.host.workers.output import OutputLines
from service.model.events import InstallProgress
from service.model.plugin import Stage
from service.model.text import Text
from service.workbench import blocking
from service.workbench.bench import Bench
from service.workbench.declarations import Declarations
from service.workbench.findings import Course, conclude, raised
from service.workbench.given_config import guessed, hold
from service.workbench.problems import Found, Problem, Severity, without_repeats
from service.workbench.reading import Reading
from service.workbench.remedies import help_for
from service.workbench.report import LogLine, Provides, Report
from service.workbench.targets import Target
from service.workbench.usage import measure
from service.worker.stalls import MARK

_LOG_LINES = 200
_STOP_GRACE_SECONDS = 1.0
_LAST_TURN_SECONDS = 0.1
_FRAME = re.compile(r'File "plugins/(?P<path>[^"]+)", line (?P<line>\d+)')
# Which method is called with what is given to try it, by type.
TRIED = {"search": "search", "parser": "parse_url", "download": "download"}
_PARAMETER = {"search": "keyword", "get_video_info": "url", "parse_url": "url"}


class Examiner:
    """Examines plugins one after the other, and notices when two of them claim one identity.

    Args:
        bench: loads them.
        config: values for their configuration over its defaults, as they were typed.
    """

    def __init__(self, bench: Bench, config: Mapping[str, str] | None = None) -> None:
        self._bench = bench
        self._config = dict(config or {})
        self._claimed: dict[tuple[str, str], Target] = {}
        self._last: Course | None = None

    async def examine(
        self,
        target: Target,
        *,
        call: tuple[str, str] | None = None,
        on_progress: Callable[[InstallProgress], None] = lambda progress: None,
    ) -> Report:
        """Look at a plugin, load it and stop it again.

        Args:
            target: which.
            call: a method and its one argument, to be called once it is loaded; of no method where the method is
                empty: then the one that its type is for.
            on_progress: told how far its dependencies are.
        """
        home = await self._bench.home(target)
        course = Course(target, home)
        try:
            await self._go(course, call, on_progress)
        except LoadFailed as failed:
            course.failure = failed.error
        finally:
            await self._bench.discard(home)
            lease = course.dependencies.lease if course.dependencies is not None else None
            if lease is not None:
                lease.release()
        self._claim(course)
        self._last = course
        await asyncio.to_thread(conclude, course)
        return _report(course)

    def clash(self, report: Report, message: Text, *, help: Text | None = None, is_error: bool) -> None:
        """Add to the newest report that the plugin's identity is another's, as a server told."""
        course = self._last
        if course is None or course.reading is None or any(one.code == "conflict" for one in report.problems):
            return
        found = _clash(course.reading, message, help=help, is_error=is_error)
        # The paths in it are the server's.
        report.problems.append(msgspec.structs.replace(_told(course, found), message=message))
        report.problems.sort(key=lambda one: (one.file, one.line or 0, one.severity))

    def _claim(self, course: Course) -> None:
        """Whoever comes first in one plugin folder has its identity, as with a server; files outside are one lot."""
        manifest, target = course.manifest, course.target
        if manifest is None or course.failure is not None or course.reading is None:
            return
        id = f"{manifest.type.value}/{manifest.name}"
        folder = os.path.abspath(target.root) if target.root is not None else ""
        holder = self._claimed.setdefault((id, folder), target)
        if holder is target:
            return
        text = Text(
            zh=f"{id} 已由 {holder.file} 使用；服务器只加载先找到的一个",
            en=f"{id} is the identity of {holder.file} already; a server loads the first of the two only",
        )
        course.found.append(_clash(course.reading, text, help=None, is_error=True))

    async def _go(
        self, course: Course, call: tuple[str, str] | None, on_progress: Callable[[InstallProgress], None]
    ) -> None:
        snapshot = self._bench.snapshot(course.home, course.target)
        reading = course.reading = Reading(snapshot)
        course.declarations = Declarations(reading)
        course.dependencies = await _timed(
            course, Stage.DEPENDENCIES, self._bench.depend(snapshot, on_progress)
        )
        if not course.dependencies.declared.dependencies:
            del course.timings[Stage.DEPENDENCIES]
        output = OutputLines(self._bench.line_bytes, _listener(course, reading))
        generation = await self._load(course, snapshot, reading, output.feed)
        try:
            course.manifest = generation.manifest
            course.asked = generation.asked
            course.timings |= {stage.value: round(ms, 2) for stage, ms in generation.stage_ms.items()}
            if call is not None:
                await self._call(course, generation, *call)
            if course.stalls:
                # How long one was is told when the loop has turned again.
                await asyncio.sleep(_LAST_TURN_SECONDS)
            course.usage = await asyncio.to_thread(measure, generation.worker.pid)
            await self._stop(course, generation)
        finally:
            await generation.end()
            output.feed(b"")

    async def _load(
        self, course: Course, snapshot: Snapshot, reading: Reading, on_output: Callable[[bytes], None]
    ) -> Generation:
        """With the values that were given, as far as a server would take them; else with its defaults."""
        bench, home = self._bench, course.home
        given = guessed(self._config)
        failure: LoadFailed | None = None
        try:
            generation = await bench.load(home, snapshot, given, on_output)
        except LoadFailed as failed:
            if not given or failed.error.stage not in (Stage.CONFIG, Stage.START, Stage.SELF_CHECK):
                raise
            # Its schema is not known yet: perhaps it was only the values that it did not bear.
            failure = failed
            try:
                generation = await bench.load(home, snapshot, {}, lambda _: None)
            except LoadFailed:
                raise failure from None
        if not given:
            return generation
        try:
            held = await hold(self._config, generation.manifest, reading)
        except BaseException:
            await generation.end()
            raise
        course.found.extend(held.problems)
        is_refused = any(one.severity == "error" for one in held.problems)
        if failure is None and (is_refused or held.values == given):
            return generation
        if failure is not None and is_refused:
            return generation
        await generation.end()
        if failure is not None and held.values == given:
            raise failure
        course.log.clear()
        return await bench.load(home, snapshot, held.values, on_output)

    async def _call(self, course: Course, generation: Generation, method: str, argument: str) -> None:
        manifest = generation.manifest
        method = method or TRIED[manifest.type.value]
        reading = course.reading
        assert reading is not None
        if any(one.code == "config_invalid" and one.severity == "error" for one in course.found):
            return
        if manifest.config_missing:
            names = ", ".join(manifest.config_missing)
            text = Text(
                zh=f"缺少必填配置 {names}，因此没有调用 {method}",
                en=f"Required configuration is missing, {names}, so {method} was not called",
            )
            place = reading.schema_place(manifest.config_missing[0])
            course.found.append(Found(code="config_missing", message=text, place=place))
            return
        course.called = method
        began = time.perf_counter()
        try:
            if method == "download":
                course.result, took = await self._bench.download(generation, argument)
                # They go with the home, so they are told of.
                course.result["files"] = await asyncio.to_thread(_files_in, course.home.downloads)
            else:
                course.result, took = await self._bench.call(
                    generation, method, {_PARAMETER[method]: argument}
                )
            course.timings[method] = round(took, 2)
            if method != "download" or course.result.get("done"):
                return
            why = course.result.get("error") or "False"
            found = Found(
                code="call_failed",
                message=Text(zh=f"download 没有完成：{why}", en=f"download did not complete: {why}"),
                place=reading.method_place(method),
                help=Text(
                    zh="让 download 完成它，或改正使它放弃的原因",
                    en="see to the reason that it gives, or let it complete",
                ),
            )
        except MethodRaised as error:
            found = raised(reading, method, error.error)
        except TimeoutError:
            seconds = time.perf_counter() - began
            found = Found(
                code="call_timeout",
                message=Text(
                    zh=f"{method} 在 {seconds:.0f} 秒内没有返回",
                    en=f"{method} did not answer within {seconds:.0f} s",
                ),
                place=reading.method_place(method),
            )
        except ChannelClosed as closed:
            how = describe_exit(closed.status, closed.ended_for)
            found = Found(
                code="call_crashed",
                message=Text(
                    zh=f"插件进程在 {method} 中结束（{how.zh}）",
                    en=f"The plugin's process ended in {method} ({how.en})",
                ),
                place=reading.method_place(method),
            )
        course.timings[method] = round((time.perf_counter() - began) * 1000, 2)
        course.found.append(found)

    async def _stop(self, course: Course, generation: Generation) -> None:
        is_stuck = any(one.code in ("call_timeout", "call_crashed") for one in course.found)
        if is_stuck or generation.worker.exited.done() or course.reading is None:
            return
        lines = len(course.log)
        forced = await generation.stop(patience_s=self._bench.limits.stop_s + _STOP_GRACE_SECONDS)
        said = "\n".join(one.message for one in course.log[lines:])
        if "stop() failed:" not in said and not (forced and "stop" in generation.manifest.methods):
            return
        place = course.reading.method_place("stop")
        frames = list(_FRAME.finditer(said))
        module = course.reading.module(frames[-1]["path"]) if frames else None
        if module is not None:
            place = module.whole_line(int(frames[-1]["line"]))
        last = said.rstrip().rpartition("\n")[2] if said else "stop()"
        text = Text(zh=f"stop() 失败：{last}", en=f"stop() failed: {last}")
        course.found.append(Found(code="stop_failed", severity="warning", message=text, place=place))


def _clash(reading: Reading, message: Text, *, help: Text | None, is_error: bool) -> Found:
    value = reading.plugin.values.get("name") if reading.plugin is not None else None
    place = reading.main.at(value) if value is not None else reading.class_place()
    severity: Severity = "error" if is_error else "warning"
    return Found(code="conflict", severity=severity, message=message, place=place, help=help)


async def _timed(course: Course, stage: Stage, work: Any) -> Any:
    began = time.perf_counter()
    try:
        return await work
    finally:
        course.timings[stage.value] = round((time.perf_counter() - began) * 1000, 2)


def _files_in(folder: Path) -> list[dict[str, Any]]:
    return [
        {"name": path.relative_to(folder).as_posix(), "size": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def _listener(course: Course, reading: Reading) -> Callable[[str, bytes, str | None], object]:
    """Tells stalls from the lines of the log."""
    began = time.perf_counter()
    root = course.home.plugins

    def take(level: str, line: bytes, request: str | None) -> None:
        stall = blocking.take_stall(line, reading, root)
        if stall is not None:
            course.stalls.append(stall)
        elif line and MARK not in line and len(course.log) < _LOG_LINES:
            at = round(time.perf_counter() - began, 3)
            course.log.append(LogLine(at, level, line.decode("utf-8", "replace")))

    return take


def _report(course: Course) -> Report:
    target, manifest = course.target, course.manifest
    unit = target.unit
    name = manifest.name if manifest is not None else unit.short_name
    dependencies = course.dependencies
    lease = dependencies.lease if dependencies is not None else None
    provides = None
    if manifest is not None:
        provides = Provides(
            methods=manifest.methods,
            config_schema=manifest.config_schema,
            config_missing=manifest.config_missing,
            supported_protocols=manifest.supported_protocols,
            permissions=course.asked or {},
        )
    return Report(
        id=f"{unit.type.value}/{name}",
        type=unit.type.value,
        name=name,
        version=manifest.version if manifest is not None else "",
        description=manifest.description if manifest is not None else "",
        file=str(target.path),
        loads=course.failure is None,
        problems=[_told(course, one) for one in without_repeats(course.found)],
        provides=provides,
        timings=course.timings,
        usage=course.usage,
        packages=list(lease.set.packages) if lease is not None else [],
        satisfied=[str(one) for one in dependencies.satisfied] if dependencies is not None else [],
        log=course.log,
        called=course.called,
        result=course.result,
    )


def _told(course: Course, found: Found) -> Problem:
    """With the path and the line as the user knows them."""
    place = found.place
    module = course.reading.module(place.path) if course.reading is not None else None
    return Problem(
        severity=found.severity,
        code=found.code,
        message=_in_users_paths(course, found.message),
        help=found.help or help_for(found.code),
        file=str(course.target.shown(place.path)),
        line=place.line,
        column=place.column,
        end_column=place.end_column,
        source=module.line(place.line) if module is not None else None,
        stage=found.stage,
        traceback=_own_paths(course, found.traceback) if found.traceback else None,
    )


def _in_users_paths(course: Course, text: Text) -> Text:
    return Text(zh=_own_paths(course, text.zh), en=_own_paths(course, text.en))


def _own_paths(course: Course, text: str) -> str:
    modules = [one.path for one in course.reading.modules] if course.reading is not None else []
    for path in dict.fromkeys([course.target.unit.main_file, *modules]):
        text = text.replace(f"{ROOT_PACKAGE}/{path}", str(course.target.shown(path)))
    return text.replace(str(course.home.folder.parent), "…")
