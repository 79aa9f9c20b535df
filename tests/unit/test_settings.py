from __future__ import annotations

import re
import tomllib
import typing
from pathlib import Path

import msgspec
import pytest

from service.limiting import limits_of_plugins
from service.model.identity import Identity, PluginType
from service.settings import Settings
from service.settings_reading import SettingsError, load_settings

ROOT = Path(__file__).parents[2]
SERVICE_TOML = ROOT / "config" / "service.toml"


def write(home: Path, text: str) -> None:
    (home / "config").mkdir(exist_ok=True)
    (home / "config" / "service.toml").write_text(text, encoding="utf-8")


def every_setting() -> list[tuple[str, str]]:
    sections = typing.get_type_hints(Settings)
    return [(name, key) for name, struct in sections.items() for key in struct.__struct_fields__]


def test_without_a_file_the_defaults_count(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}) == Settings()


def test_the_file_that_is_shipped_holds_the_defaults() -> None:
    assert load_settings(ROOT, {}) == Settings()


@pytest.mark.parametrize(("section", "key"), every_setting())
def test_the_file_that_is_shipped_names_every_setting_below_a_comment(section: str, key: str) -> None:
    body = re.split(r"^\[(\w+)\]$", SERVICE_TOML.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = dict(zip(body[1::2], body[2::2], strict=True))[section].splitlines()
    at = next(
        index for index, line in enumerate(lines) if re.match(rf"(# )?({key} = |\[{section}\.{key}\.)", line)
    )
    block = at
    while re.match(r"\w+ = ", lines[block - 1]):
        block -= 1
    assert lines[block - 1].startswith("# "), f"{section}.{key} has no comment"
    assert re.search(r"[\u4e00-\u9fff]", " ".join(lines[max(0, block - 4) : block])), "not in Chinese"


def test_the_file_that_is_shipped_has_no_setting_that_does_not_exist() -> None:
    document = tomllib.loads(SERVICE_TOML.read_text(encoding="utf-8"))
    found = {(section, key) for section, values in document.items() for key in values}
    assert found == set(every_setting()) - {("server", "token"), ("limits", "plugins")}


def test_the_file_counts_over_the_defaults_and_the_environment_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, '[server]\nport = 9000\nhost = "::1"\n[limits]\ncall_s = 5\n')
    settings = load_settings(tmp_path, {"PLUGBAY_SERVER__PORT": "9001", "PLUGBAY_LIMITS__SEARCH_S": "2.5"})
    assert (settings.server.host, settings.server.port) == ("::1", 9001)
    assert (settings.limits.call_s, settings.limits.search_s) == (5.0, 2.5)


def test_lists_in_the_environment_are_separated_by_commas(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {"PLUGBAY_INSTALL__ALLOWED_HOSTS": "example.org, *.example.net,"})
    assert settings.install.allowed_hosts == ["example.org", "*.example.net"]
    assert load_settings(tmp_path, {"PLUGBAY_INSTALL__ALLOWED_HOSTS": ""}).install.allowed_hosts == []


def test_a_switch_in_the_environment_is_true_or_false(tmp_path: Path) -> None:
    name = "PLUGBAY_DEPENDENCIES__ALLOW_BUILDS"
    assert load_settings(tmp_path, {name: "True"}).dependencies.allow_builds is True
    assert load_settings(tmp_path, {name: "false"}).dependencies.allow_builds is False
    with pytest.raises(SettingsError, match="true or false"):
        load_settings(tmp_path, {name: "1"})


def test_an_empty_token_in_the_environment_is_none(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {"PLUGBAY_SERVER__TOKEN": ""}).server.token is None


def test_other_variables_of_the_prefix_are_no_settings(tmp_path: Path) -> None:
    environ = {"PLUGBAY_HOME": "/x", "PLUGBAY_URL": "y", "PLUGBAY_TOKEN": "z", "PLUGBAY_LANG": "zh"}
    assert load_settings(tmp_path, environ) == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PLUGBAY_SERVER__PORT", "70000", ["server.port", "PLUGBAY_SERVER__PORT", "70000", "0 to 65535"]),
        ("PLUGBAY_SERVER__PORT", "http", ["server.port", "'http'", "whole number"]),
        ("PLUGBAY_SERVER__PORT", "1.5", ["server.port", "1.5"]),
        ("PLUGBAY_SERVER__HOST", "http://localhost", ["server.host", "127.0.0.1"]),
        ("PLUGBAY_SERVER__HOST", "", ["server.host", "''"]),
        ("PLUGBAY_SERVER__ALLOWED_ORIGINS", "plugbay.example.org", ["server.allowed_origins", "https://"]),
        ("PLUGBAY_SERVER__ALLOWED_ORIGINS", "https://a.b/", ["server.allowed_origins", "no slash"]),
        ("PLUGBAY_SERVER__ALLOWED_HOSTS", "https://a.b", ["server.allowed_hosts", "host name"]),
        ("PLUGBAY_SERVER__SHUTDOWN_S", "-1", ["server.shutdown_s", "0 to 3600"]),
        ("PLUGBAY_LIMITS__LOAD_S", "0", ["limits.load_s", "0.05"]),
        ("PLUGBAY_LIMITS__LOAD_S", "nan", ["limits.load_s", "nan"]),
        ("PLUGBAY_LIMITS__LOAD_S", "inf", ["limits.load_s", "inf"]),
        ("PLUGBAY_LOGS__LEVEL", "loud", ["logs.level", "loud", '"debug", "info", "warning", "error"']),
        ("PLUGBAY_LOGS__FORMAT", "xml", ["logs.format", '"console", "json"']),
        ("PLUGBAY_SERVER__PROT", "1", ["server.prot", "server.port"]),
        ("PLUGBAY_LIMITS__PLUGINS", "search/demo", ["limits.plugins", "'search/demo'", "a table"]),
        ("PLUGBAY_SEVER__PORT", "1", ["sever", "server"]),
        ("PLUGBAY_LIMITS__CRASH_BACKOFF_MIN_S", "31", ["limits.crash_backoff_min_s", "crash_backoff_max_s"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    tmp_path: Path, variable: str, value: str, says: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {variable: value})
    for words in says:
        assert words in caught.value.text.en
    assert says[0] in caught.value.text.zh


def test_a_plugin_may_have_limits_of_its_own(tmp_path: Path) -> None:
    write(
        tmp_path, '[limits]\nopen_files = 99\n[limits.plugins."search/电影"]\nmemory_mib = 64\ncall_s = 3\n'
    )
    limits = limits_of_plugins(load_settings(tmp_path, {}))
    own, other = (limits.of(Identity(PluginType.SEARCH, name)) for name in ("电影", "other"))
    assert (own.memory_bytes, own.call_s, own.open_files) == (64 << 20, 3.0, 99)
    assert own.setting("memory_mib") == 'limits.plugins."search/电影".memory_mib'
    assert own.setting("open_files") == "limits.open_files"
    assert (other.memory_bytes, other.call_s) == (1024 << 20, 60.0)
    assert limits.most.memory_bytes == 1024 << 20
    in_environment = {"PLUGBAY_LIMITS__PLUGINS": '{"parser/page": {"processes": 2}}'}
    settings = load_settings(tmp_path, in_environment)
    assert list(settings.limits.plugins) == ["parser/page"]
    assert limits_of_plugins(settings).least_processes == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[limits.plugins."search/demo"]\nmemory = 1\n',
            ['limits.plugins."search/demo".memory', "memory_mib"],
        ),
        (
            '[limits.plugins."search/demo"]\nmemory_mib = 1\n',
            ['limits.plugins."search/demo".memory_mib', "is 1;", "16 to 1048576"],
        ),
        (
            '[limits.plugins."search/demo"]\nload_s = 1\n',
            ['limits.plugins."search/demo".load_s', "no setting"],
        ),
        ('[limits.plugins."serch/demo"]\n', ["limits.plugins", "'serch/demo'", "search, download, parser"]),
        ("[limits.plugins.demo]\n", ["limits.plugins", "'demo'", "TYPE/NAME"]),
        ('[limits.plugins]\n"search/demo" = 3\n', ['limits.plugins."search/demo"', "is 3;", "a table"]),
        ("[limits]\nplugins = 3\n", ["limits.plugins", "is 3;", "a table for each plugin"]),
    ],
)
def test_a_wrong_limit_of_a_plugin_is_named(tmp_path: Path, text: str, says: list[str]) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {})
    for words in says:
        assert words in caught.value.text.en
    assert says[0] in caught.value.text.zh


def test_a_wrong_token_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {"PLUGBAY_SERVER__TOKEN": "hunter2"})
    assert "hunter2" not in caught.value.text.en + caught.value.text.zh
    assert "16" in caught.value.text.en


def test_the_token_is_not_in_what_the_settings_print(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {"PLUGBAY_SERVER__TOKEN": "correct-horse-battery"})
    assert settings.server.token == "correct-horse-battery"
    assert "correct-horse" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server]\nport = true\n", "server.port"),
        ('[server]\nport = "8000"\n', "server.port"),
        ("[server]\nprot = 1\n", "server.port"),
        ("[nonsense]\n", "nonsense"),
        ("server = 1\n", "[server]"),
        ("[server\n", "line 1"),
        ('[server]\nallowed_hosts = "a"\n', "server.allowed_hosts"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {})
    assert says in caught.value.text.en
    assert "config/service.toml" in caught.value.text.en


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "service.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"config/service\.toml"):
        load_settings(tmp_path, {})


def test_every_default_is_within_its_own_bounds() -> None:
    assert msgspec.convert(msgspec.to_builtins(Settings()), Settings) == Settings()


@pytest.mark.parametrize(
    "text",
    [
        "[limits]\ncall_s = " + "[" * 3000,
        "[limits]\ncall_s = " + "9" * 5000,
        "[limits]\ncall_s = 5\x00",
        "[limits]\n" + "a." * 3000 + "b = 1",
    ],
    ids=["nested", "digits", "nul", "dotted"],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=r"config/service\.toml"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLUGBAY_LIMITS__CALL_S", "\udcff"),
        ("PLUGBAY_SERVER__HOST", "\udcff"),
        ("PLUGBAY_LIMITS__PLUGINS", '{"a":' * 100_000),
        ("PLUGBAY_SERVER__PORT", "9" * 5000),
        ("PLUGBAY_\udcff__X", "1"),
        ("PLUGBAY_SERVER__PORT", "x" * 100_000),
    ],
)
def test_what_is_wrong_with_a_variable_can_be_printed(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(tmp_path, {name: value})
    for text in (raised.value.text.zh, raised.value.text.en):
        assert 0 < len(text.encode()) < 2000
