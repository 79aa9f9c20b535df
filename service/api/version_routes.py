"""The routes of source and revisions, of updates and changes, and of the packages that plugins depend on."""

from __future__ import annotations

from service.api import environments, history, messages, revising, updating, version_messages
from service.api.route import PRINTABLE, Query, Route
from service.api.upload import Upload

_PLUGIN = "/api/plugins/{type}/{name}"
_INSTALL_ERRORS = (
    "plugin_invalid",
    "name_changed",
    "registry_unreachable",
    "dependencies_timeout",
    "plugin_not_saved",
    "change_not_saved",
    "revision_not_kept",
)
_FETCH_ERRORS = ("url_refused", "hash_mismatch", "fetch_failed", "fetch_timeout")
_PATH = Query(
    name="path",
    schema={"type": "string", "maxLength": 255},
    description="A file beside the plugin's own, relative to its folder, or one that `files` lists.",
    required=False,
)
_REVISION = {"type": "string", "minLength": 6, "maxLength": 64, "pattern": "^[0-9a-f]+$"}

VERSION_ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=f"{_PLUGIN}/files",
        handler=revising.list_files,
        operation="listPluginFiles",
        tag="revisions",
        response=(version_messages.FileList,),
        errors=("plugin_not_found",),
    ),
    Route(
        method="GET",
        path=f"{_PLUGIN}/source",
        handler=revising.get_source,
        operation="getPluginSource",
        tag="revisions",
        query=(_PATH,),
        media_type="text/plain",
        errors=("plugin_not_found", "source_not_found"),
    ),
    Route(
        method="PUT",
        path=f"{_PLUGIN}/source",
        handler=revising.put_source,
        operation="putPluginSource",
        tag="revisions",
        query=(_PATH,),
        headers=(
            Query(
                name="If-Match",
                schema={"type": "string"},
                description="The `ETag` of the content that may be overwritten; any, where it is not given.",
                required=False,
            ),
        ),
        body=str,
        body_media_type="text/plain",
        response=(messages.ChangedPlugin,),
        errors=("plugin_not_found", "source_not_found", "source_changed", *_INSTALL_ERRORS),
    ),
    Route(
        method="GET",
        path=f"{_PLUGIN}/revisions",
        handler=revising.list_revisions,
        operation="listRevisions",
        tag="revisions",
        response=(version_messages.RevisionList,),
        errors=("plugin_not_found", "store_failed"),
    ),
    Route(
        method="GET",
        path=f"{_PLUGIN}/revisions/{{revision}}",
        handler=revising.get_revision,
        operation="getRevision",
        tag="revisions",
        response=(version_messages.RevisionFiles,),
        errors=("plugin_not_found", "revision_not_found", "store_failed"),
    ),
    Route(
        method="GET",
        path=f"{_PLUGIN}/diff",
        handler=revising.compare,
        operation="compareRevisions",
        tag="revisions",
        query=(
            Query(name="from", schema=_REVISION, description="The older revision."),
            Query(
                name="to",
                schema=_REVISION,
                description="The newer one; what the files hold now, where it is not given.",
                required=False,
            ),
        ),
        response=(version_messages.Difference,),
        errors=("plugin_not_found", "revision_not_found", "store_failed"),
    ),
    Route(
        method="POST",
        path=f"{_PLUGIN}/rollback",
        handler=revising.roll_back,
        operation="rollBackPlugin",
        tag="revisions",
        body=version_messages.RollBack,
        response=(messages.ChangedPlugin,),
        errors=("plugin_not_found", "revision_not_found", "store_failed", *_INSTALL_ERRORS),
    ),
    Route(
        method="POST",
        path="/api/plugins/check",
        handler=updating.check_plugin,
        operation="checkPlugin",
        tag="plugins",
        body=messages.InstallByUrl,
        upload=Upload,
        response=(version_messages.Checked,),
        errors=("too_many_installs", *_FETCH_ERRORS, *_INSTALL_ERRORS),
    ),
    Route(
        method="GET",
        path="/api/plugins/outdated",
        handler=updating.list_outdated,
        operation="listOutdated",
        tag="plugins",
        response=(version_messages.OutdatedList,),
    ),
    Route(
        method="POST",
        path=f"{_PLUGIN}/update",
        handler=updating.update_plugin,
        operation="updatePlugin",
        tag="plugins",
        body=version_messages.UpdateOne,
        body_required=False,
        response=(version_messages.Updated, messages.Plan),
        errors=(
            "plugin_not_found",
            "locally_modified",
            "origin_changed",
            "no_origin",
            "too_many_installs",
            *_FETCH_ERRORS,
            *_INSTALL_ERRORS,
        ),
    ),
    Route(
        method="GET",
        path="/api/changes",
        handler=history.list_changes,
        operation="listChanges",
        tag="changes",
        query=(
            Query(
                name="plugin",
                schema={"type": "string", "maxLength": 255, "pattern": PRINTABLE},
                description="Only what was done to this plugin, such as `search/demo`.",
                required=False,
            ),
            Query(
                name="limit",
                schema={
                    "type": "integer",
                    "minimum": 1,
                    "maximum": history.CHANGES_MAX,
                    "default": history.CHANGES_DEFAULT,
                },
                description="How many.",
                required=False,
            ),
        ),
        response=(version_messages.ChangeList,),
        errors=("store_failed",),
    ),
    Route(
        method="POST",
        path="/api/changes/{change}/undo",
        handler=history.undo_change,
        operation="undoChange",
        tag="changes",
        response=(version_messages.Undone,),
        errors=(
            "request_invalid",
            "change_not_found",
            "change_superseded",
            "plugin_exists",
            "config_not_saved",
            "store_failed",
            *_INSTALL_ERRORS,
        ),
    ),
    Route(
        method="GET",
        path="/api/environments",
        handler=environments.list_environments,
        operation="listEnvironments",
        tag="environments",
        response=(version_messages.EnvironmentList,),
    ),
    Route(
        method="POST",
        path="/api/environments/prune",
        handler=environments.prune_environments,
        operation="pruneEnvironments",
        tag="environments",
        response=(version_messages.Pruned,),
    ),
)
