"""The shapes are those of the API: what it answers with is built from the other side of these pairs."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from service.api import messages, task_messages, version_messages
from service.client import shapes
from service.model import plugin, task
from service.model.states import PluginState

PAIRS: dict[Any, Any] = {
    shapes.Change: version_messages.Change,
    shapes.ChangedPlugin: messages.ChangedPlugin,
    shapes.Changes: version_messages.ChangeList,
    shapes.ConfigExport: messages.ConfigExport,
    shapes.ConfigField: plugin.ConfigField,
    shapes.ConfigImported: messages.ConfigImported,
    shapes.ConfigPlan: messages.ConfigPlan,
    shapes.Deleted: messages.Deleted,
    shapes.Difference: version_messages.Difference,
    shapes.DownloadStarted: task_messages.DownloadStarted,
    shapes.Draining: plugin.Draining,
    shapes.EnabledChange: messages.EnabledChange,
    shapes.Environment: version_messages.Environment,
    shapes.Environments: version_messages.EnvironmentList,
    shapes.FieldChange: messages.FieldChange,
    shapes.FieldError: messages.FieldError,
    shapes.File: version_messages.File,
    shapes.LoadError: plugin.LoadError,
    shapes.LogLine: messages.LogLineView,
    shapes.Origin: plugin.Origin,
    shapes.Outdated: version_messages.Outdated,
    shapes.OutdatedPlugins: version_messages.OutdatedList,
    shapes.Package: version_messages.Package,
    shapes.ParseError: messages.ParseFailure,
    shapes.Parsed: messages.ParseResults,
    shapes.ParseResult: messages.Parsed,
    shapes.Permissions: plugin.Permissions,
    shapes.PlannedConfig: messages.PlannedConfig,
    shapes.Plugin: plugin.PluginView,
    shapes.Plugins: messages.PluginList,
    shapes.Pruned: version_messages.Pruned,
    shapes.Reloaded: messages.Reloaded,
    shapes.ReloadResult: messages.ReloadedPlugin,
    shapes.Revision: version_messages.Revision,
    shapes.RevisionFile: version_messages.RevisionFile,
    shapes.RevisionFiles: version_messages.RevisionFiles,
    shapes.SearchResult: messages.SearchResult,
    shapes.Task: task.Task,
    shapes.TaskAnswer: task.TaskAnswer,
    shapes.TaskFailure: task.TaskFailure,
    shapes.Tasks: task_messages.TaskList,
    shapes.TaskStarted: task_messages.SearchStarted,
    shapes.Template: messages.Template,
    shapes.Toggled: messages.Toggled,
    shapes.Undone: version_messages.Undone,
}
# Of these the API has one for each way that it can go.
UNIONS: dict[Any, tuple[Any, ...]] = {
    shapes.Config: (messages.PluginConfig, messages.PluginConfigured),
    shapes.Installed: (messages.Installed, messages.Plan),
}


def members(struct: Any) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


def sometimes(struct: Any) -> set[str]:
    """Members that an answer may leave out."""
    return {field.encode_name for field in msgspec.structs.fields(struct) if "Unset" in str(field.type)}


@pytest.mark.parametrize("shape", PAIRS, ids=lambda shape: shape.__name__)
def test_a_shape_has_what_the_api_answers_with(shape: Any) -> None:
    struct = PAIRS[shape]
    assert set(shape.__annotations__) == members(struct)
    assert shape.__required_keys__ & sometimes(struct) == set()


@pytest.mark.parametrize("shape", UNIONS, ids=lambda shape: shape.__name__)
def test_a_shape_of_several_answers_has_what_any_of_them_has(shape: Any) -> None:
    structs = UNIONS[shape]
    assert set(shape.__annotations__) == set().union(*map(members, structs))
    assert shape.__required_keys__ <= set.intersection(*map(members, structs))


def test_what_an_install_may_be_asked_is_what_the_api_takes() -> None:
    options = set(shapes.InstallOptions.__annotations__)
    assert options | {"url", "plugin_type"} == members(messages.InstallByUrl)


def test_states_are_those_of_the_model() -> None:
    assert set(get_args(shapes.PluginState)) == {str(state) for state in PluginState}
    assert set(get_args(shapes.TaskState)) == {str(status) for status in task.TaskStatus}
