# ruff: noqa: TID252  # relative, as some of them do it
"""A helper of the user's own, with a base class in it."""

from ..base_plugin import SearchPlugin, SearchResult


class CommonSite(SearchPlugin):
    version = "1"

    def make(self, title: str) -> SearchResult:
        return SearchResult(title=title, url="u", platform=self.name)
