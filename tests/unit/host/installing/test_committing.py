"""What has loaded and loses its process before it serves is loaded once more, and not for ever."""

from __future__ import annotations

import pytest

from service.host.conversation import EndedAtOnce
from service.host.installing.committing import in_several_tries
from service.model.plugin import LoadError, Stage
from service.model.text import Text

ENDED = EndedAtOnce(
    LoadError.of_server(Stage.START, "worker_exited", Text(zh="结束", en="it ended"), file=None)
)


@pytest.mark.parametrize("deaths", [0, 1, 2])
async def test_it_is_done_in_spite_of_deaths(deaths: int) -> None:
    left = [ENDED] * deaths

    async def put() -> str:
        if left:
            raise left.pop()
        return "done"

    assert await in_several_tries(put) == "done"
    assert left == []


async def test_one_that_always_dies_is_refused() -> None:
    tries = 0

    async def put() -> None:
        nonlocal tries
        tries += 1
        raise ENDED

    with pytest.raises(EndedAtOnce):
        await in_several_tries(put)
    assert tries == 3
