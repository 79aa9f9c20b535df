"""A data folder that was made for a plugin that came to nothing goes at the next start, and no other one."""

from __future__ import annotations

from pathlib import Path

import homes

from service.host.history.provisional import Provisional


async def test_what_goes_and_what_stays(folder: Path) -> None:
    subject, data = Provisional(folder), folder / "data/plugins/search"
    names = ("lost", "forgotten", "file", "package", "never noted", "never made")
    for name in names[:-1]:
        (data / name).mkdir(parents=True)
        (data / name / "kept").write_text(name)
    (folder / "plugins/search/package_plugin").mkdir(parents=True)
    (folder / "plugins/search/file_plugin.py").touch()
    for name in ("lost", "forgotten", "file", "package", "never made"):
        await subject.note(data / name)
    await subject.forget(data / "forgotten")
    for note, text in (
        ("a", "data/plugins/../never noted"),
        ("b", "config/x/y/z"),
        ("c", "data/plugins/search"),
    ):
        (folder / "data/journal" / f"{note}.folder").write_text(text)
    for _ in range(2):
        await Provisional(folder).recover()
        assert sorted(path.name for path in data.iterdir()) == ["file", "forgotten", "never noted", "package"]
        assert list((folder / "data/journal").iterdir()) == []


async def test_a_full_disk_costs_the_note_only(folder: Path) -> None:
    with homes.Steps(1, homes.full, on=True):
        await Provisional(folder).note(folder / "data/plugins/search/demo")
    await Provisional(folder).recover()
