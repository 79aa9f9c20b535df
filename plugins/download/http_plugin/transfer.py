"""One pass at fetching a file: threads with a connection each, until all is there or something is in the way.

Threads on blocking sockets, because they are the fastest that Python has: from nginx over loopback, one connection of
http.client brought 1,100 to 1,300 MiB/s with `readinto1` and `pwrite`, curl 630 to 900, aiohttp's client 490 to 600;
four brought 840 to 1,370, aria2c 620 to 680, aiohttp's 370 to 550. `os.splice` was no faster, and knows no TLS.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from plugins.download.http_plugin.connection import Answer, Client, Sockets
from plugins.download.http_plugin.errors import DownloadFailed, Interrupted, Spoiled, StartAgain, Stopped
from plugins.download.http_plugin.part import Part
from plugins.download.http_plugin.ranges import Ranges, Segment, written_before
from plugins.download.http_plugin.state import Found, Options, Patience
from plugins.download.http_plugin.status import raise_for_status
from plugins.download.http_plugin.version import Version
from plugins.shared.saved_files import file_name_of

BUFFER_BYTES = 256 * 1024
# A worker process may have 32 threads; the first connection of a download does not count here.
MORE_CONNECTIONS = 12
_IDLE_S = 0.1
_JOIN_S = 0.2
# Where the server names no version at all, so much of what is there is compared before going on.
_OVERLAP_BYTES = 64 * 1024


class Transfer:
    """One pass. It is driven by its own threads; all methods may be called from any.

    Args:
        url: what to fetch.
        options: how.
        found: what is known already; the part file in it is used again.
        client: makes requests through `sockets`.
        more: one permit for each connection beyond the first.
        wake: called whenever the part file has been made, and when the last thread has ended.

    Attributes:
        found: what is known now.
        failure: what was in the way; None while nothing is.
        message: what it is waiting for, or empty.
    """

    def __init__(
        self,
        url: str,
        options: Options,
        found: Found,
        sockets: Sockets,
        client: Client,
        more: threading.Semaphore,
        wake: Callable[[], None],
    ) -> None:
        self.found = found
        self.failure: BaseException | None = None
        self.message = ""
        self._url = self._location = url
        self._options = options
        self._sockets = sockets
        self._client = client
        self._more = more
        self._wake = wake
        self._ranges: Ranges | None = None
        if found.version is not None and found.finished:
            self._ranges = Ranges(found.version.total, found.finished, options.connections)
        self._changed = threading.Condition()
        self._threads = 0
        self._started: list[threading.Thread] = []
        self._is_spread = False
        self._request_s = float("inf")

    @property
    def is_over(self) -> bool:
        """Whether no thread runs."""
        return not self._threads

    @property
    def downloaded(self) -> int:
        """Bytes that are written."""
        with self._changed:
            return self._ranges.downloaded if self._ranges else 0

    @property
    def finished(self) -> list[list[int]]:
        """The bytes that are written, in pairs of the first and the one after the last."""
        with self._changed:
            return self._ranges.finished() if self._ranges else []

    def start(self) -> None:
        """Begin; DownloadFailed where there are no more threads."""
        try:
            self._begin_thread(self._lead)
        except RuntimeError as error:
            raise DownloadFailed(
                "too many downloads run at once; retry when some of them are done"
            ) from error

    def stop(self) -> None:
        """End all threads at once; twice does no harm."""
        self._sockets.cut()
        with self._changed:
            self._changed.notify_all()

    def join(self) -> None:
        """Wait a moment for the threads that have nothing more to do."""
        for thread in list(self._started):
            thread.join(_JOIN_S)

    def _begin_thread(self, work: Callable[[], None], done: Callable[[], None] = lambda: None) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                with self._changed:
                    # What the last connections say when they are not needed any more is no failure.
                    is_done = (
                        isinstance(error, Stopped) and self._ranges is not None and self._ranges.complete
                    )
                    if self.failure is None and not is_done:
                        self.failure = error
                self.stop()
            finally:
                done()
                with self._changed:
                    self._threads -= 1
                if self.is_over:
                    self._wake()

        with self._changed:
            self._threads += 1
        try:
            thread = threading.Thread(target=run, name="http download", daemon=True)
            thread.start()
            self._started.append(thread)
        except BaseException:
            with self._changed:
                self._threads -= 1
            raise

    def _lead(self) -> None:
        """The first connection finds out what there is; the others come when that is known."""
        if self._ranges is not None:
            self._work(None, None)
            return
        patience = Patience(self._options.retries, self._sockets)
        while True:
            try:
                answer = self._discover()
                break
            except Interrupted as error:
                self.message = f"trying again: {error}"
                patience.wait(error, 0)
        try:
            segment = self._prepare(answer)
        except BaseException:
            answer.close()
            raise
        if segment is None:
            answer.close()
        self._work(segment, answer)

    def _discover(self) -> Answer:
        """The answer to the first request, with the file from its beginning in the body."""
        answer = self._request({"Range": "bytes=0-"} if self.found.ranged else {})
        if answer.status == 416:  # an empty file has no byte 0
            answer.close()
            answer = self._request({})
            self.found.ranged = False
        if answer.status == 206:
            start, end, total = answer.content_range
            if not self.found.ranged or start != 0 or total is None or not end:
                answer.close()
                raise StartAgain("the server answered with another range than was asked for", ranged=False)
        elif answer.status == 200:
            accepts = answer.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
            self.found.ranged = self.found.ranged and accepts and answer.length is not None
        else:
            raise_for_status(answer)
        return answer

    def _prepare(self, answer: Answer) -> Segment | None:
        """Make the part file for what an answer brings, and take the first segment."""
        found, options = self.found, self._options
        _, end, total = answer.content_range if answer.status == 206 else (0, answer.length, answer.length)
        if options.limit_bytes and (total or 0) > options.limit_bytes:
            raise Spoiled(
                f"the file has {total} bytes, more than the configured limit of {options.limit_bytes}"
            )
        found.version = Version.of(answer, total, is_whole=end == total)
        found.finished, found.is_resumed = (), False
        if found.part is None:
            found.part = Part.create(options.folder, file_name_of(answer.headers, answer.url), total)
        else:
            found.part.cut(0)
            found.part.reserve(total or 0)
        self._location = answer.url
        with self._changed:
            self._ranges = Ranges(total, (), options.connections if found.ranged else 1)
            segment = self._ranges.take(time.monotonic(), 0.0)
        self._wake()
        return segment

    def _work(self, segment: Segment | None, answer: Answer | None) -> None:
        """Fetch one segment after the other, until none is left."""
        patience = Patience(self._options.retries, self._sockets)
        while segment := segment or self._next():
            before = segment.position
            try:
                if answer is None:
                    answer = self._open(segment)
                self._spread()
                self._fetch(segment, answer)
                patience.attempts = 0
                self._give_back(segment, 0.0)
            except DownloadFailed as error:
                # Some servers forbid one more connection in this way.
                if error.status is not None and self._give_back(segment, 0.0):
                    return
                raise
            except Interrupted as error:
                brought = segment.position - before
                is_done = segment.left == 0  # somebody else has taken the rest over
                others_move = self._give_back(segment, patience.failed_at)  # from here on it may be another's
                if not self.found.ranged:
                    raise StartAgain(str(error), ranged=False, dropped=True) from error
                if others_move and not brought and (error.refused or patience.attempts):
                    return  # the server does not want as many connections; the others go on
                self.message = "" if brought else f"trying again: {error}"
                if not is_done:
                    patience.wait(error, brought)
            finally:
                if answer is not None:
                    answer.close()
            segment = answer = None

    def _next(self) -> Segment | None:
        """The next segment; None when there is nothing more to do. Waits while others may still need help."""
        with self._changed:
            while True:
                if self._sockets.is_cut.is_set():
                    raise Stopped
                assert self._ranges is not None
                if self._ranges.complete:
                    break
                if segment := self._ranges.take(time.monotonic(), self._request_s):
                    return segment
                self._changed.wait(_IDLE_S)
        self.stop()  # others may still wait for a server that has nothing to bring any more
        return None

    def _give_back(self, segment: Segment, since: float) -> bool:
        """Let others have what is left of it; whether any of them has brought something since then."""
        with self._changed:
            assert self._ranges is not None
            self._ranges.give_back(segment)
            self._changed.notify_all()
            return any(
                other.taken and other is not segment and other.moved_at > max(since, other.began_at)
                for other in self._ranges.segments
            )

    def _spread(self) -> None:
        """Begin the other connections, once."""
        with self._changed:
            if self._is_spread or self._ranges is None:
                return
            self._is_spread = True
            free = sum(1 for one in self._ranges.segments if not one.taken and one.left)
        if not self.found.ranged:
            return
        for _ in range(min(free, self._options.connections - 1)):
            if not self._more.acquire(blocking=False):
                return
            try:
                self._begin_thread(lambda: self._work(None, None), self._more.release)
            except RuntimeError:  # no more threads: the ones that are there do it
                self._more.release()
                return

    def _request(self, headers: dict[str, str]) -> Answer:
        began = time.monotonic()
        answer = self._client.get(self._location, headers, self._url)
        self._request_s = min(self._request_s, time.monotonic() - began)
        return answer

    def _open(self, segment: Segment) -> Answer:
        """The answer with a segment from its position on; what it is not is never written."""
        version, part = self.found.version, self.found.part
        assert version is not None and part is not None and segment.end is not None
        position, overlap = segment.position, 0
        if self.found.is_resumed and not version.etag and not version.last_modified:
            overlap = min(_OVERLAP_BYTES, written_before(self.finished, position))
        # To its end only, but for the last: others fetch what follows.
        headers = {"Range": f"bytes={position - overlap}-{segment.end - 1}"}
        if version.condition:
            headers["If-Range"] = version.condition
        answer = self._request(headers)
        try:
            if answer.status == 206:
                start, _, total = answer.content_range
                if start is not None and total is not None:
                    version.require_same(answer, total)
                if start != position - overlap or total is None:
                    raise StartAgain(
                        "the server answered with another range than was asked for", ranged=False
                    )
            elif answer.status == 200:
                version.require_same(answer, answer.length)
                raise StartAgain("the server does not serve ranges after all", ranged=False)
            elif answer.status == 416:
                raise StartAgain("the server does not have this range of the file any more")
            elif self._location != self._url and answer.status in {401, 403, 404, 410}:
                self._location = self._url  # where it was redirected to is no longer good
                raise Interrupted(f"the address behind the redirects answered {answer.status}")
            else:
                raise_for_status(answer)
            self._compare(answer, position - overlap, overlap)
        except BaseException:
            answer.close()
            raise
        return answer

    def _compare(self, answer: Answer, position: int, count: int) -> None:
        """See whether these bytes of the body are those that are there."""
        buffer = memoryview(bytearray(count))
        assert self.found.part is not None
        while count:
            came = answer.read_into(buffer[:count])
            if not came:
                raise Interrupted("the connection ended early")
            if not self.found.part.is_same(buffer[:came], position):
                raise StartAgain("the file at the server has changed")
            position, count = position + came, count - came

    def _fetch(self, segment: Segment, answer: Answer) -> None:
        """Write what an answer brings, until it or the segment ends."""
        part, limit, first = self.found.part, self._options.limit_bytes, segment.position
        assert part is not None
        buffer = memoryview(bytearray(BUFFER_BYTES))
        while (left := segment.left) is None or left:
            came = answer.read_into(buffer if left is None else buffer[:left])
            if self._sockets.is_cut.is_set():
                raise Stopped
            if not came:
                break
            part.write(buffer[:came], segment.position)
            with self._changed:
                segment.move(came, time.monotonic())
            if self.message:
                self.message = ""
            if limit and segment.position > limit:
                raise Spoiled(f"the file is larger than the configured limit of {limit} bytes")
        self._end_of(segment, answer, first)

    def _end_of(self, segment: Segment, answer: Answer, first: int) -> None:
        """Judge how an answer has ended."""
        assert self._ranges is not None
        total, length = self._ranges.total, answer.length
        if total is None:
            with self._changed:
                segment.end = self._ranges.total = segment.position
        elif segment.left:
            # A server may give less of a range than was asked for; the next request brings more.
            if answer.status == 206 and length == segment.position - first > 0:
                return
            raise Interrupted(f"the connection ended after {self.downloaded} of {total} bytes")
        elif segment.position == total and length == segment.position - first and answer.has_excess():
            raise Spoiled(
                f"the server announced {total} bytes and sent more, so nobody knows where the file ends; "
                "retry, or look for another source"
            )
