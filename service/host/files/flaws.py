"""What to say of a path that holds no text that could be loaded."""

from __future__ import annotations

from service.host.files.sources import Flaw, SourceFlawed
from service.model.text import Text


def describe_flaw(flawed: SourceFlawed, max_bytes: int) -> Text:
    """Cause, place and remedy.

    Args:
        flawed: which path and what is wrong with it.
        max_bytes: the largest plugin file.
    """
    path, detail = f"plugins/{flawed.unit.path}", flawed.detail
    match flawed.flaw:
        case Flaw.DIRECTORY:
            folder = path.removesuffix(".py")
            return Text(
                zh=f"{path} 是目录；包形式的插件应为目录 {folder}/，内含 __init__.py",
                en=f"{path} is a directory; a plugin that is a package is a directory {folder}/ with __init__.py",
            )
        case Flaw.DANGLING_LINK:
            return Text(
                zh=f"{path} 是失效的链接，目标 {detail} 不存在；请恢复目标或删除链接",
                en=f"{path} is a link to {detail}, which is not there; restore it or delete the link",
            )
        case Flaw.TOO_LARGE:
            return Text(
                zh=f"{path} 有 {detail} 字节，超过上限 {max_bytes}（limits.plugin_file_kib）",
                en=f"{path} has {detail} bytes, over the limit of {max_bytes} (limits.plugin_file_kib)",
            )
        case Flaw.NOT_A_FILE:
            return Text(
                zh=f"{path} 不是普通文件，请改为普通的 Python 文件",
                en=f"{path} is no regular file; put a plain Python file there",
            )
        case Flaw.UNREADABLE:
            return Text(
                zh=f"无法读取 {path}：{detail}，请检查权限",
                en=f"{path} cannot be read: {detail}; check its permissions",
            )
