"""From what was seen of a plugin, and what its text tells, to problems with a place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.errors import LoadFailed
from service.host.files.sources import ROOT_PACKAGE
from service.host.installing.text_check import ensure_text
from service.model.plugin import LoadError, Manifest, Stage
from service.model.text import Text
from service.workbench import blocking, contract_reading, imports
from service.workbench.bench import Dependencies, Home
from service.workbench.blocking import Stall
from service.workbench.declarations import Declarations
from service.workbench.problems import Found, Place
from service.workbench.reading import Reading
from service.workbench.remedies import help_for
from service.workbench.report import LogLine
from service.workbench.schema_reading import schema_doubts
from service.workbench.targets import Target
from service.workbench.usage import Usage
from service.worker.calling import ResultRefused
from service.worker.compat.signs import imports_base_plugin

_OF_ATTRIBUTES = {
    "name_missing": "name",
    "name_invalid": "name",
    "protocols_missing": "supported_protocols",
    "manifest_invalid": "name",
}
_RESULTS = {
    "search": Text(
        zh='返回列表，其中每项形如 SearchResult(title="…", url="…")，title 是非空的 str',
        en='return a list whose items are such as SearchResult(title="…", url="…"), with a title that is a str',
    ),
    "get_video_info": Text(
        zh='返回 SearchResult(title="…", url="…") 或 None',
        en='return SearchResult(title="…", url="…"), or None',
    ),
    "parse_url": Text(
        zh='返回字典的列表，例如 [{"name": "…", "url": "…"}]',
        en='return a list of dictionaries, such as [{"name": "…", "url": "…"}]',
    ),
}
_NOT_FOUND = ("ImportError", "ModuleNotFoundError")
_OF_IMPORTS = ("import_failed", "start_failed", "self_check_failed", "call_failed", "contract_failed")
_LINE_EN = re.compile(r"^line \d+: ")
_LINE_ZH = re.compile(r"^第 \d+ 行：")
_IN_SCHEMA = re.compile(r"config_schema is no JSON Schema: (?P<path>.*?): ")


@dataclass
class Course:
    """What is known of a plugin while it is examined."""

    target: Target
    home: Home
    found: list[Found] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    reading: Reading | None = None
    declarations: Declarations | None = None
    dependencies: Dependencies | None = None
    manifest: Manifest | None = None
    asked: dict[str, Any] | None = None
    failure: LoadError | None = None
    usage: Usage | None = None
    called: str | None = None
    result: Any = None


def conclude(course: Course) -> None:
    """Put together what was seen and what the text tells."""
    reading, declarations = course.reading, course.declarations
    found = course.found
    if course.failure is not None:
        found.insert(0, _of_failure(course, course.failure))
    if course.target.is_misnamed:
        text = Text(
            zh=f"服务器不加载 {course.target.path.name}：插件文件以 _plugin.py 结尾，且不以 plugin_template 开头",
            en=f"A server does not load {course.target.path.name}: a plugin's file ends in _plugin.py and does not "
            "begin with plugin_template",
        )
        place = Place(path=course.target.unit.main_file, line=1, column=1)
        found.append(Found(code="file_name", severity="warning", message=text, place=place))
    if reading is None or declarations is None:
        return
    twice = list(declarations.problems())
    if any(one.code == "requirements_contradict" for one in twice):
        # What uv says of it is the same from further away.
        found[:] = [one for one in found if one.code != "dependencies_unresolvable"]
    found.extend(twice)
    if course.failure is None or course.failure.code != "syntax_error":
        _not_text(course, reading)
    if reading.main.tree is not None:
        _of_the_text(course, reading, declarations)
    found.extend(blocking.seen(course.stalls))
    found.extend(blocking.known(reading))


def _of_the_text(course: Course, reading: Reading, declarations: Declarations) -> None:
    found, manifest, failure = course.found, course.manifest, course.failure
    has_kept_contract = failure is None or failure.stage in (Stage.START, Stage.SELF_CHECK, Stage.CONFIG)
    is_original = imports_base_plugin(reading.main.content)
    if not has_kept_contract and not is_original:
        found.extend(contract_reading.breaches(reading))
    found.extend(contract_reading.doubts(reading))
    texts = {"version": manifest.version, "description": manifest.description} if manifest else None
    if not is_original or manifest is not None:
        found.extend(contract_reading.missing_texts(reading, texts))
    if manifest is not None:
        schema = manifest.config_json_schema
        found.extend(
            contract_reading.field_problems(reading, manifest.config_schema, is_made=schema is not None)
        )
        found.extend(schema_doubts(reading, schema or {}))
    declared = course.dependencies.declared if course.dependencies is not None else None
    lease = course.dependencies.lease if course.dependencies is not None else None
    names = declared.dependencies if declared else [str(one.requirement) for one in declarations.all]
    for one in imports.problems(reading, names, lease.set.path if lease is not None else None):
        missed = next((index for index, other in enumerate(found) if _missed(other, one)), None)
        if missed is not None:
            # The same from nearer by: how to declare it is what helps.
            found[missed] = msgspec.structs.replace(found[missed], help=one.help)
        else:
            found.append(one)
    for note in declared.notes if declared is not None else ():
        number = re.search(r"\d+", note.en)
        place = reading.main.whole_line(int(number.group()) if number else 1)
        message, remedy = _with_remedy(note)
        message = Text(zh=_LINE_ZH.sub("", message.zh), en=_LINE_EN.sub("", message.en))
        found.append(
            Found(code="metadata_ignored", severity="warning", message=message, place=place, help=remedy)
        )


def _missed(one: Found, undeclared: Found) -> bool:
    """Whether a problem is that a module was not found which is imported there."""
    is_there = (one.place.path, one.place.line) == (undeclared.place.path, undeclared.place.line)
    return is_there and one.code in _OF_IMPORTS and "ModuleNotFoundError: " in one.message.en


def _not_text(course: Course, reading: Reading) -> None:
    """An install takes less than a load does."""
    for module in reading.modules:
        try:
            ensure_text(module.content, file=module.path.rpartition("/")[2])
        except LoadFailed as failed:
            place = module.whole_line(failed.error.line or 1)
            course.found.append(
                Found(code="not_text", severity="warning", message=failed.error.text, place=place)
            )


def _of_failure(course: Course, error: LoadError) -> Found:
    message, remedy = error.text, None
    if error.stage is Stage.DEPENDENCIES:
        message, remedy = _with_remedy(message)
    if error.code == "metadata_invalid":
        # The place is told anyway, and what to do better by the remedy of the code.
        message = Text(zh=_LINE_ZH.sub("", message.zh), en=_LINE_EN.sub("", message.en))
        remedy = None if remedy is not None and remedy.en == "mend it" else remedy
    if error.code == "schema_invalid" and _IN_SCHEMA.match(message.en):
        remedy = Text(
            zh="按 JSON Schema（2020-12）改正这一处",
            en="correct that part; JSON Schema 2020-12 says what fits there",
        )
    if error.code == "syntax_error" and "UTF-8" in message.en:
        remedy = help_for("not_text")
    is_alone = course.target.root is None or course.target.is_misnamed
    if is_alone and error.type in _NOT_FOUND and f"'{ROOT_PACKAGE}" in message.en:
        remedy = Text(
            zh="辅助模块只在 plugins/类型/ 下才能导入；把插件和它放进那里再检查",
            en="helpers are found below plugins/TYPE/ only, so put the plugin and its helper there: "
            f"plugins/{course.target.unit.type.value}/",
        )
    if error.code == "wrong_signature" and (named := re.search(r"\.(\w+)", message.en)):
        remedy = contract_reading.signature_help(named[1])
    return Found(
        code=error.code,
        message=message,
        place=_place_of(course, error),
        help=remedy,
        stage=error.stage,
        traceback=error.traceback,
    )


def _with_remedy(text: Text) -> tuple[Text, Text | None]:
    """A message that ends with what to do, and that by itself."""
    if "; " not in text.en or "；" not in text.zh:
        return text, None
    (zh, _, do_zh), (en, _, do_en) = text.zh.rpartition("；"), text.en.rpartition("; ")
    return Text(zh=zh, en=en), Text(zh=do_zh.removeprefix("请"), en=do_en)


def _place_of(course: Course, error: LoadError) -> Place:
    """Where a load failed; a better guess than the file's beginning where the load could not say."""
    reading, declarations = course.reading, course.declarations
    path = (error.file or "").removeprefix(f"{ROOT_PACKAGE}/") or course.target.unit.main_file
    if reading is None or declarations is None:
        return Place(path=path)
    module = reading.module(path)
    if error.code == "schema_invalid" and (inside := _IN_SCHEMA.match(error.text.en)):
        return reading.json_schema_place(inside["path"].split("/"))
    if error.code == "schema_invalid":
        named = re.search(r"[Ff]ield (\w+) has", error.text.en)
        return reading.schema_place(named[1] if named else None)
    if error.code in _OF_ATTRIBUTES and reading.plugin is not None:
        value = reading.plugin.values.get(_OF_ATTRIBUTES[error.code])
        return reading.main.at(value) if value is not None else reading.class_place()
    if error.line is not None and module is not None:
        place = module.whole_line(error.line)
        if error.column is not None:
            # Python counts characters where it cannot parse, and bytes everywhere else.
            column = (
                error.column if error.code == "syntax_error" else module.column(error.line, error.column - 1)
            )
            column = min(column, len(module.line(error.line) or "") + 1)
            end = place.end_column if error.code != "syntax_error" else None
            return Place(path=path, line=error.line, column=column, end_column=end)
        return place
    if error.stage is Stage.DEPENDENCIES:
        keys = {"python_unsuitable": "requires-python", "interface_too_old": "min_interface"}
        if error.code in keys:
            return declarations.place_of_key(keys[error.code])
        return declarations.place_named_in(error.text.en) if declarations.all else reading.main.whole_line(1)
    return reading.method_place(error.stage.value)


def raised(reading: Reading, method: str, error: Mapping[str, Any]) -> Found:
    """The problem that a call raised, by the worker's description of it."""
    kind, said = error.get("type"), error.get("message")
    place = reading.method_place(method)
    path = str(error.get("file") or "").removeprefix(f"{ROOT_PACKAGE}/")
    module = reading.module(path)
    if module is not None and isinstance(error.get("line"), int):
        place = module.whole_line(error["line"])
    what = f"{kind}: {said}" if said else str(kind)
    if kind == ResultRefused.__name__:
        return Found(
            code="call_failed",
            message=Text(zh=f"{method} 返回的结果不符合接口：{said}", en=str(said)),
            place=place,
            help=_RESULTS.get(method),
            traceback=error.get("traceback"),
        )
    return Found(
        code="call_failed",
        message=Text(zh=f"{method} 抛出了 {what}", en=f"{method} raised {what}"),
        place=place,
        traceback=error.get("traceback"),
    )
