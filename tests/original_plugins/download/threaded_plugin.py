"""A plain method that loops, tells its progress without awaiting, and looks whether it was cancelled."""

from base_plugin import DownloadPlugin, DownloadTask
from database import get_database
from logger import get_logger

logger = get_logger(__name__)


class ThreadedPlugin(DownloadPlugin):
    name = "threaded"
    version = "1.0.0"
    description = "in a thread"
    supported_protocols = ["threads"]

    def download(self, task: DownloadTask) -> bool:
        db = get_database()
        for percent in range(0, 101, 20):
            current = db.get_task(task.id)
            if current and current["status"] == "cancelled":
                logger.info("cancelled at %s", percent)
                return False
            if not db.update_task(task.id, {"progress": percent, "progress_message": f"{percent}%"}):
                return False
        if "fail" in task.url:
            db.update_task(task.id, {"status": "failed", "error": "源站拒绝访问"})
            return False
        return True
