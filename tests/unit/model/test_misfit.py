"""Against msgspec's own messages, as the installed version writes them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from service.api.messages import FORMATS, ImportConfig, InstallByUrl, Parse
from service.model.identity import PluginType
from service.model.misfit import Misfit, fault_of, misfit_of
from service.model.text import Text

NO_STRING = ("必须是字符串，而不是整数", "must be a string, not a whole number")
NO_OBJECT = ("必须是对象，而不是整数", "must be an object, not a whole number")


class Nested(msgspec.Struct, forbid_unknown_fields=True):
    kinds: dict[str, list[PluginType]]


def misfit(data: str, type: Any, formats: dict[str, Text] | None = None) -> Misfit:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(data, type=type)
    return misfit_of(str(raised.value), type, formats)


@pytest.mark.parametrize(
    ("data", "type", "path", "zh", "en"),
    [
        ("1", str, "", "必须是字符串，而不是整数", "must be a string, not a whole number"),
        ("true", int, "", "必须是整数，而不是 true 或 false", "must be a whole number, not true or false"),
        ("1.5", int, "", "必须是整数，而不是数字", "must be a whole number, not a number"),
        ("[]", dict[str, Any], "", "必须是对象，而不是数组", "must be an object, not an array"),
        ("null", bool, "", "必须是 true 或 false，而不是 null", "must be true or false, not null"),
        ("1", str | None, "", "必须是字符串或 null，而不是整数", "must be a string or null, not a whole number"),
        ('""', Annotated[str, Meta(min_length=1)], "", "不能为空", "must not be empty"),
        ("[]", Annotated[list[int], Meta(min_length=1)], "", "不能为空", "must not be empty"),
        ('"a"', Annotated[str, Meta(min_length=3)], "", "至少要有 3 个字符", "must have at least 3 characters"),
        ('"abc"', Annotated[str, Meta(max_length=2)], "", "最多 2 个字符", "must have at most 2 characters"),
        ("[1,2]", Annotated[list[int], Meta(max_length=1)], "", "最多 1 项", "must have at most 1 items"),
        ("[1]", tuple[int, int], "", "必须有 2 项", "must have 2 items"),
        ("9", Annotated[int, Meta(le=5)], "", "不能大于 5", "must be at most 5"),
        ("0", Annotated[int, Meta(ge=1)], "", "不能小于 1", "must be at least 1"),
        ("0", Annotated[float, Meta(gt=0.5)], "", "必须大于 0.5", "must be more than 0.5"),
        ("1e999", float, "", "数值超出范围", "is a number out of range"),
        ("{}", InstallByUrl, "url", "缺失", "is missing"),
        ('{"url":"x","plugin_type":"search","k`ey":1}', InstallByUrl, "k`ey", "不是已知字段", "is unknown"),
        (
            '{"url":"x","plugin_type":"movie"}',
            InstallByUrl,
            "plugin_type",
            "必须是 search、download、parser 之一",
            "must be one of search, download, parser",
        ),
        ('"c"', Literal["a", "b"], "", "必须是 a、b 之一", "must be one of a, b"),
        (
            '{"kinds":{"x":["search","nope"]}}',
            Nested,
            "kinds[...][1]",
            "必须是 search、download、parser 之一",
            "must be one of search, download, parser",
        ),
        ('{"url":"x","plugins":["a",3]}', Parse, "plugins[1]", *NO_STRING),
        ('{"config":{"a":1}}', ImportConfig, "config[...]", *NO_OBJECT),
        (
            '{"url":"x","plugin_type":"search","sha256":"12"}',
            InstallByUrl,
            "sha256",
            "必须是 64 位十六进制数",
            "must be 64 hexadecimal digits",
        ),
    ],
)  # fmt: skip
def test_what_must_be_is_said_in_both_languages(data: str, type: Any, path: str, zh: str, en: str) -> None:
    assert misfit(data, type, FORMATS) == Misfit(path, Text(zh=zh, en=en))


def test_every_pattern_of_a_request_has_words() -> None:
    patterns = re.findall(r'pattern="(.*?)"', msgspec.json.encode(msgspec.json.schema(InstallByUrl)).decode())
    assert set(patterns) <= set(FORMATS)


def test_what_is_not_known_is_quoted() -> None:
    unknown = misfit_of("Expected a miracle - at `$.a.b`")
    assert unknown == Misfit("a.b", Text(zh="有误（Expected a miracle）", en="is wrong (Expected a miracle)"))
    assert misfit('"b"', Annotated[str, Meta(pattern="^a$")]).must.zh == "不符合格式 '^a$'"
    assert misfit_of("Invalid enum value 'x'").must.en == "is none of the values that are allowed"


def test_what_a_client_writes_is_cut() -> None:
    long = misfit('{"%s":1}' % ("x" * 5000), Nested)
    assert len(long.path) == 200


@pytest.mark.parametrize(
    ("data", "zh", "en"),
    [
        (b"{", "内容不完整", "it ends too early"),
        (b'{"a" 1}', "第 5 字节处缺少 :", "a : is missing, at byte 5"),
        (b"[1 2]", "第 3 字节处缺少 , 或 ]", "a , or ] is missing, at byte 3"),
        (b'{"a":1 "b"}', "第 7 字节处缺少 , 或 }", "a , or } is missing, at byte 7"),
        (b"{a}", "第 1 字节处对象的键必须是字符串", "keys of an object must be strings, at byte 1"),
        (b"[1,]", "第 3 字节处数组末尾多了逗号", "there is a comma at the end of an array, at byte 3"),
        (b'{"a":1,}', "第 7 字节处对象末尾多了逗号", "there is a comma at the end of an object, at byte 7"),
        (b"01", "第 1 字节处数字写法有误", "a number is written wrongly, at byte 1"),
        (b"{} x", "第 4 字节处多出了内容", "something follows the JSON, at byte 4"),
        (b'"\\q"', "第 3 字节处字符串中的转义有误", "an escape in a string is wrong, at byte 3"),
        (b'"\\ud800\\ud800"', "第 13 字节处字符串中的转义有误", "an escape in a string is wrong, at byte 13"),
        (b"nothing", None, None),
    ],
)
def test_why_something_is_no_json(data: bytes, zh: str | None, en: str | None) -> None:
    with pytest.raises(msgspec.DecodeError) as raised:
        msgspec.json.decode(data)
    fault = fault_of(str(raised.value))
    if zh is not None:
        assert fault == Text(zh=zh, en=str(en))
    assert "JSON is malformed" not in fault.zh


def test_a_fault_that_is_not_known_is_quoted() -> None:
    assert fault_of("the moon is full") == Text(zh="the moon is full", en="the moon is full")


@pytest.mark.parametrize(
    ("data", "zh", "en"),
    [
        ('["\\ud800"]', "字符串中的转义有误", "an escape in a string is wrong"),
        ('{"a": "\\uDBFF"}', "字符串中的转义有误", "an escape in a string is wrong"),
        ('["\\ud83d\\ude00"', "内容不完整", "it ends too early"),
        ("[1e999]", "有数值超出范围", "a number in it is out of range"),
        (f"[{'9' * 5000}]", "有数值超出范围", "a number in it is out of range"),
    ],
)
def test_what_msgspec_gives_another_reason_for(data: str, zh: str, en: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as raised:
        msgspec.json.decode(data)
    assert fault_of(str(raised.value), data.encode()) == Text(zh=zh, en=en)
