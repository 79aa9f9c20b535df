"""Locks: what is read from them, and that a set's name follows from its files and from nothing else."""

from __future__ import annotations

import pytest
from packaging.tags import sys_tags

from service.host.dependencies.lock import Package, key_of, read_lock

HERE = str(next(tag for tag in sys_tags() if tag.platform != "any"))


def lock(*wheels: tuple[str, int, str], name: str = "demo", host: str = "one.example") -> str:
    files = ", ".join(
        f'{{ url = "https://{host}/{file}", size = {size}, hashes = {{ sha256 = "{digest}" }} }}'
        for file, size, digest in wheels
    )
    return f'lock-version = "1.0"\n[[packages]]\nname = "{name}"\nversion = "1.0"\nwheels = [{files}]\n'


def test_the_size_is_that_of_the_wheel_that_fits_best() -> None:
    text = lock(
        ("demo-1.0-cp311-cp311-win_amd64.whl", 1, "aa"),
        ("demo-1.0-py3-none-any.whl", 2, "bb"),
        (f"demo-1.0-{HERE}.whl", 3, "cc"),
        ("no-wheel", 4, "dd"),
    )
    assert read_lock(text).packages == (Package(name="demo", version="1.0", size=3),)


def test_the_name_follows_from_the_files() -> None:
    wheel = ("demo-1.0-py3-none-any.whl", 2, "bb")
    first = read_lock(lock(wheel))
    assert read_lock(lock(wheel, host="mirror.example")).id == first.id
    assert read_lock(lock((wheel[0], 2, "cc"))).id != first.id
    assert len(first.id) == 32
    assert key_of(["a", "b"], builds=False) == key_of(["b", "a", "b"], builds=False)
    assert key_of(["a"], builds=False) != key_of(["a"], builds=True)


def test_a_package_without_a_wheel_counts_by_its_source() -> None:
    text = (
        '[[packages]]\nname = "Demo_X"\nversion = "2"\n'
        'sdist = { url = "https://one.example/d.tar.gz", size = 9, hashes = { sha256 = "aa" } }\n'
    )
    assert read_lock(text).packages == (Package(name="demo-x", version="2", size=9),)
    assert read_lock("packages = []").packages == ()


@pytest.mark.parametrize(
    "text",
    ["[", "packages = 3", 'packages = ["x"]', "[[packages]]\nversion = '1'", "packages = [{name = 3}]"],
)
def test_what_is_no_lock_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_lock(text)
