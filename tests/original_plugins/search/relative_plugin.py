# ruff: noqa: TID252  # relative, as some of them do it
"""Everything imported relatively; the helper `models` beside it is the user's own."""

import models

from ..database import get_database
from ..logger import get_logger
from .models import SUFFIX
from .site_common import CommonSite

log = get_logger(__name__)


class RelativePlugin(CommonSite):
    name = "relative"
    description = "relative imports"

    async def search(self, keyword, **kwargs):
        db = get_database()
        stored = db.update_task("unknown", {"progress": 5, "status": models.TaskStatus.RUNNING})
        task = await db.get_task("unknown")
        nothing = await db.get_task("never heard of")
        assert isinstance(self.make(keyword), models.SearchResult)
        return [self.make(f"{keyword}{SUFFIX} {bool(stored)} {task['progress']} {task['status']} {nothing}")]
