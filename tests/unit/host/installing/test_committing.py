"""What has loaded and loses its process before it serves is loaded once more, and not for ever."""

from __future__ import annotations

import pytest

from service.host.installing.committing import ProcessEnded, in_several_tries


@pytest.mark.parametrize("deaths", [0, 1, 2])
async def test_it_is_done_in_spite_of_deaths(deaths: int) -> None:
    left = [ProcessEnded()] * deaths

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
        raise ProcessEnded

    with pytest.raises(ProcessEnded):
        await in_several_tries(put)
    assert tries == 3
