# ruff: noqa: F403, F405  # a star import, as some of them have it
"""Work at start, a global instance, prints and levels."""

import asyncio
import threading

from base_plugin import *
from logger import get_logger

logger = get_logger("startup")
print("模块已加载")


class StartupPlugin(SearchPlugin):
    name = "startup"
    version = "1.0.0"
    description = "start-up work"

    def __init__(self):
        # 原应用的插件不一定调用父类的构造函数
        self.cache = {"ready": self.config.get("nothing", "yes")}
        self.lock = threading.Lock()
        self.worker = threading.Thread(target=self._warm_up, daemon=True)
        self.worker.start()
        self.task = asyncio.create_task(self._warm_up_later())

    def _warm_up(self) -> None:
        with self.lock:
            self.cache["warm"] = True

    async def _warm_up_later(self) -> None:
        await asyncio.sleep(0)
        self.cache["later"] = True

    def start(self, task_id: str) -> None:
        """Not what the server means by `start`."""
        raise AssertionError(task_id)

    def search(self, keyword: str, page: int = 1) -> List[SearchResult]:
        self.worker.join(5)
        logger.debug("debug %s", keyword)
        logger.warning("warning %s", keyword)
        try:
            int("x")
        except ValueError:
            logger.exception("exception %s", keyword)
        print(f"printed {keyword}")
        return [
            SearchResult(
                title=f"{self.cache['ready']} {self.cache['warm']} {self.cache['later']} {instance.cache['ready']}",
                url="u",
            )
        ]


instance = StartupPlugin()
