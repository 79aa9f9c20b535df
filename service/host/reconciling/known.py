"""What is remembered of plugins by the bytes of their files: what they said of themselves, and where they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service.model.plugin import Manifest, Origin

# Every save is another content, so the oldest are forgotten; far more than there are plugins.
_MANIFESTS_KEPT = 2000


class Known:
    """See the module.

    Args:
        remember: keeps a manifest beyond the server's life, by revision.
    """

    def __init__(self, remember: Callable[[str, Manifest], None]) -> None:
        self._remember = remember
        self._manifests: dict[str, Manifest] = {}
        self._origins: dict[str, Origin] = {}

    def take(self, manifests: Mapping[str, Manifest], origins: Mapping[str, Origin]) -> None:
        """Take what was known when the server last ran.

        Args:
            manifests: by revision, so that a disabled plugin need not run to be listed.
            origins: by file, relative to home.
        """
        self._manifests.update(manifests)
        self._origins.update(origins)

    def manifest(self, revision: str) -> Manifest | None:
        """What these bytes said of themselves when they last ran."""
        return self._manifests.get(revision)

    def learn(self, revision: str, manifest: Manifest) -> None:
        """Keep what these bytes say of themselves."""
        self._manifests.pop(revision, None)
        self._manifests[revision] = manifest
        while len(self._manifests) > _MANIFESTS_KEPT:
            self._manifests.pop(next(iter(self._manifests)))
        self._remember(revision, manifest)

    def installed_origin(self, file: str) -> Origin | None:
        """Where what was installed as a file came from, whatever has become of it since."""
        return self._origins.get(file)

    def origin(self, file: str, sha256: str) -> Origin:
        """Where a file with this content came from: by hand, unless it is what was installed there."""
        installed = self._origins.get(file)
        if installed is not None and installed.sha256 == sha256:
            return installed
        return Origin(kind="file", sha256=sha256)

    def set_origin(self, file: str, origin: Origin | None) -> None:
        """Know from now on what was installed as a file; nothing where it is `None`."""
        if origin is None:
            self._origins.pop(file, None)
        else:
            self._origins[file] = origin
