"""Series with episodes, in a class hierarchy: the base class leaves the page to the derived ones."""

from abc import ABC, abstractmethod
from typing import Any

from base_plugin import SearchPlugin, SearchResult
from models import VideoInfo


class SeriesSite(SearchPlugin, ABC):
    """What all such sites share; has no name, so it is not a plugin."""

    version = "2.0"

    @abstractmethod
    def episodes_of(self, title: str) -> list[dict[str, Any]]:
        """The episodes of a series."""

    @property
    def description(self):
        return f"{self.name} series"

    async def search(self, keyword: str, **kwargs) -> list[SearchResult]:
        result = SearchResult(
            title=keyword,
            url=f"http://127.0.0.1/{keyword}",
            platform=self.name,
            metadata={"episodes": self.episodes_of(keyword)},
        )
        return [SearchResult(**result.dict()), result.copy(update={"title": keyword + " 2"})]

    async def get_video_info(self, url: str) -> VideoInfo:
        return VideoInfo(
            title="Info",
            url=url,
            platform=self.name,
            formats=[{"quality": "1080p"}],
            metadata={"episodes": self.episodes_of("Info")},
        )


class Dragons(SeriesSite):
    name = "dragons"

    def episodes_of(self, title):
        return [{"name": f"{title} 1", "play_url": "lines://x/1"}]
