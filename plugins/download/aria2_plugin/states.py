"""What aria2 says of a download (`tellStatus`), in the words of Plugbay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugins.shared import external_program as external

# What to do about it, by the exit status of aria2(1).
REMEDIES = {
    1: "try again later",
    2: "the other side does not answer; try again later",
    3: "check the address",
    4: "check the address",
    6: "check the network, and the address",
    8: "the server cannot go on with a file that is begun; cancel it and start anew",
    9: "make room on the disk",
    13: "rename or remove the file that is there",
    15: "let aria2 write to the folder, or choose another one (dir)",
    16: "let aria2 write to the folder, or choose another one (dir)",
    17: "look at the disk and at aria2's rights to the folder (dir)",
    18: "let aria2 write to the folder, or choose another one (dir)",
    19: "check the name in the address, and the network",
    22: "check the address; the server may ask for a sign-in",
    23: "check the address",
    24: "the server asks for a user name and password in the address",
    26: "check the torrent file",
    29: "the server is busy; try again later",
    32: "what came has another checksum; try again",
}


def status_of(one: dict[str, Any]) -> str:
    """The status by the names of Plugbay."""
    status = one["status"]
    total, done = int(one["totalLength"]), int(one["completedLength"])
    if status == "complete":
        # The metadata of a magnet link is there, and the torrent itself is about to appear.
        is_metadata = "bittorrent" in one and "info" not in one["bittorrent"] and not one.get("followedBy")
        return "downloading" if is_metadata else "completed"
    if status in ("active", "waiting", "paused"):
        is_checking = "verifiedLength" in one or "verifyIntegrityPending" in one
        if "info" in one.get("bittorrent", {}) and total and done == total and not is_checking:
            return "completed"  # it is only seeding
        return "paused" if status == "paused" else "downloading"
    return "failed" if status == "error" else "cancelled"


def combined(root: dict[str, Any], leaves: list[dict[str, Any]]) -> dict[str, Any]:
    """One state of all that came of one download."""
    found = [status_of(one) for one in leaves]
    pending = {each for each in found if each != "completed"}
    status = next(
        (each for each in ("failed", "cancelled", "downloading", "paused") if each in pending), "completed"
    )
    # While only the metadata of a torrent is on its way, its few bytes say nothing of the download.
    data = [one for one in leaves if "bittorrent" not in one or "info" in one["bittorrent"]]
    failed = next((one for one in leaves if one["status"] == "error"), None)
    return external.state(
        status,
        downloaded=sum(int(one["completedLength"]) for one in data),
        total=sum(int(one["totalLength"]) for one in data)
        if all(int(x["totalLength"]) for x in data)
        else None,
        speed=sum(int(one["downloadSpeed"]) for one in leaves),
        save_path=path_of(leaves[0]) if len(leaves) == 1 else root.get("dir"),
        error=error_of(failed) if failed else None,
    )


def error_of(one: dict[str, Any]) -> str:
    """Why it failed, in aria2's words, and what to do."""
    code = int(one.get("errorCode") or 1)
    message = str(one.get("errorMessage") or "").strip().rstrip(".") or "it failed without saying why"
    remedy = REMEDIES.get(code)
    return f"aria2: {message} (error {code})" + (f"; {remedy}" if remedy else "")


def path_of(one: dict[str, Any]) -> str | None:
    """Where it lies, as aria2 sees it."""
    torrent = one.get("bittorrent")
    if torrent is not None:
        name = torrent.get("info", {}).get("name")
        return str(Path(one["dir"]) / name) if name else None
    files = one.get("files") or []
    return (files[0]["path"] or None) if len(files) == 1 else one.get("dir")


def title_of(one: dict[str, Any]) -> str:
    """Its name for people."""
    name = one.get("bittorrent", {}).get("info", {}).get("name")
    files = one.get("files") or [{"path": "", "uris": []}]
    path = str(files[0]["path"]).removeprefix("[METADATA]")
    return name or Path(path).name or (url_of(one) or one["gid"])


def url_of(one: dict[str, Any]) -> str | None:
    """Where it comes from; a torrent by its magnet link."""
    if one.get("infoHash"):
        return f"magnet:?xt=urn:btih:{one['infoHash']}"
    uris = (one.get("files") or [{"uris": []}])[0]["uris"]
    return str(uris[0]["uri"]) if uris else None
