"""What to do about each code that loading or checking a plugin can give."""

from __future__ import annotations

from service.model.text import Text

UNKNOWN = Text(
    zh="请按上面的说明修改后再检查一次",
    en="mend what is said above, then check again",
)

REMEDIES: dict[str, Text] = {
    # -- the file
    "file_directory": Text(
        zh="把目录改名为不带 .py 的名称，并在其中放入 __init__.py",
        en="rename the directory so that it does not end in .py, and put an __init__.py in it",
    ),
    "file_dangling_link": Text(
        zh="恢复链接的目标，或把链接换成文件", en="restore what the link leads to, or put a file there"
    ),
    "file_unreadable": Text(zh="用 chmod 或 chown 让它可读", en="make it readable with chmod or chown"),
    "file_not_a_file": Text(zh="在此放一个普通的 Python 文件", en="put a plain Python file there"),
    "file_too_large": Text(
        zh="把数据移到单独的文件，或提高 limits.plugin_file_kib",
        en="move data to a file of its own, or raise limits.plugin_file_kib",
    ),
    "file_name": Text(zh="把文件改名为 {名称}_plugin.py", en="rename the file so that it ends in _plugin.py"),
    "not_text": Text(zh="以 UTF-8 编码保存文件", en="save the file as UTF-8"),
    # -- dependencies
    "metadata_invalid": Text(
        zh='改正 # /// script 块或 requirements 文件，例如 # dependencies = ["httpx>=0.27"]',
        en='mend the # /// script block or the requirements file, such as # dependencies = ["httpx>=0.27"]',
    ),
    "metadata_ignored": Text(zh="在块的末尾加一行 # ///", en="end the block with a line of its own: # ///"),
    "dependency_refused": Text(
        zh='只写名称、版本、extras 和条件，例如 "httpx[http2]>=0.27"',
        en='give a name with versions, extras and markers only, such as "httpx[http2]>=0.27"',
    ),
    "python_unsuitable": Text(
        zh="放宽 requires-python，或用合适的 Python 运行服务器",
        en="relax requires-python, or run the server on a Python that suits",
    ),
    "interface_too_old": Text(
        zh="升级 Plugbay，或降低 min_interface", en="upgrade Plugbay, or lower min_interface"
    ),
    "dependencies_unresolvable": Text(
        zh="放宽或改正互相冲突的版本要求", en="relax or correct the versions that contradict each other"
    ),
    "dependency_not_found": Text(
        zh="核对名称的拼写和版本是否存在", en="check how the name is spelt and that the version exists"
    ),
    "dependency_yanked": Text(zh="改用没有撤回的版本", en="require a version that was not yanked"),
    "dependency_unsupported": Text(
        zh="改用支持本机的版本或其他库", en="require a version that supports this machine, or another library"
    ),
    "dependency_build_refused": Text(
        zh="改用提供 wheel 的版本，或设置 dependencies.allow_builds",
        en="require a version that has wheels, or set dependencies.allow_builds",
    ),
    "dependency_hash_mismatch": Text(
        zh="稍后重试；仍然如此则检查软件源和代理",
        en="try again later; if it stays, check the registry and the proxies on the way to it",
    ),
    "registry_unreachable": Text(
        zh="检查网络、UV_DEFAULT_INDEX 和凭据后再试",
        en="check the network, UV_DEFAULT_INDEX and its credentials, then try again",
    ),
    "dependencies_timeout": Text(
        zh="再试一次，或提高 dependencies.timeout_s", en="try again, or raise dependencies.timeout_s"
    ),
    "dependencies_disk_full": Text(
        zh="清理磁盘：plugbay env prune、uv cache clean", en="make room: plugbay env prune, uv cache clean"
    ),
    "dependencies_failed": Text(
        zh="按 uv 的说明处理（见 --verbose）", en="see to what uv says (shown by --verbose)"
    ),
    "requirements_contradict": Text(zh="只保留一处声明", en="keep one of the two declarations"),
    "requirement_repeated": Text(zh="删去重复的一处", en="remove one of the two"),
    "undeclared_import": Text(
        zh="在 # /// script 块的 dependencies 中声明它",
        en="declare it in dependencies of the # /// script block",
    ),
    "internal_import": Text(
        zh="只从 service.sdk 导入；服务器的其他部分随时会变",
        en="import from service.sdk only; everything else of the server may change at any time",
    ),
    # -- import
    "syntax_error": Text(zh="改正这一处的语法", en="correct the syntax there"),
    "import_failed": Text(
        zh="改正抛出异常的这一行；缺少的库请在 # /// script 块中声明",
        en="mend the line that raises; a library that is missing is declared in the # /// script block",
    ),
    "import_timeout": Text(
        zh="把耗时的工作移到 start() 或第一次调用中", en="move what takes long into start() or the first call"
    ),
    "exit_called": Text(zh="删除对 os._exit 的调用", en="remove the call of os._exit"),
    "modules_replaced": Text(zh="不要替换或清空 sys.modules", en="leave sys.modules as it is"),
    "worker_exited": Text(
        zh="查找 os._exit、os.close、信号、原生扩展或过大的内存",
        en="look for os._exit, os.close, signals, a native extension or very much memory",
    ),
    "worker_unavailable": Text(
        zh="检查本机的内存和进程数上限（ulimit -u、ulimit -n）",
        en="check memory and the limits of processes and files (ulimit -u, ulimit -n)",
    ),
    "manifest_invalid": Text(
        zh="检查 name、version、description 和配置项是否为普通的文本和数据",
        en="check that name, version, description and the fields are plain text and data",
    ),
    # -- contract
    "no_plugin_class": Text(
        zh="定义一个类，派生自该类型的基类，例如 class Demo(SearchPlugin):",
        en="define a class derived from the type's base class, such as class Demo(SearchPlugin):",
    ),
    "several_plugin_classes": Text(
        zh="每个文件只保留一个插件类，其他的移到各自的文件",
        en="keep one and move the others to files of their own",
    ),
    "method_missing": Text(zh="在类中加上这个方法", en="add the method to the class"),
    "method_misspelt": Text(
        zh="改正方法名；现在不会有人调用它", en="correct its name; as it is, nobody calls it"
    ),
    "wrong_signature": Text(
        zh="按接口写参数，例如 async def search(self, keyword, **kwargs)",
        en="take what the interface gives, such as async def search(self, keyword, **kwargs)",
    ),
    "name_missing": Text(zh='在类中加上 name = "demo"', en='add to the class: name = "demo"'),
    "name_invalid": Text(
        zh="使用 1 到 64 个字母、数字、_ 或 -", en="use 1 to 64 letters, digits, `_` or `-`"
    ),
    "version_missing": Text(zh='在类中加上 version = "0.1.0"', en='add to the class: version = "0.1.0"'),
    "description_missing": Text(
        zh="在类中加上 description，用一句话说明它做什么",
        en="add a description to the class: in one line, what it does",
    ),
    "protocols_missing": Text(
        zh='在类中加上 supported_protocols = ["https"]',
        en='add to the class: supported_protocols = ["https"]',
    ),
    "schema_invalid": Text(
        zh='返回 ConfigField 列表，例如 [ConfigField(name="limit", type="number", default=20)]',
        en='return a list of fields, such as [ConfigField(name="limit", type="number", default=20)]',
    ),
    "field_repeated": Text(zh="给其中一项换一个 name", en="give one of the two another name"),
    "field_doubtful": Text(zh="改正这个配置项", en="correct the field"),
    "contract_failed": Text(
        zh="改正 __init__、属性或 get_config_schema 中抛出异常的这一行",
        en="mend the line that raises in __init__, a property or get_config_schema",
    ),
    # -- configuration, start, self-check
    "config_failed": Text(
        zh="让 set_config 接受缺省值；无效的值请记入日志而不要抛出",
        en="have set_config take the defaults; log what does not suit instead of raising",
    ),
    "config_invalid": Text(
        zh="改正 --set 给出的值；服务器同样不会接受它",
        en="correct the value given with --set; a server would not take it either",
    ),
    "config_missing": Text(zh="用 --set 名称=值 给出", en="give it with --set NAME=VALUE"),
    "start_failed": Text(
        zh="处理 start() 中的异常；连接不上时宜记入日志并稍后重试",
        en="handle what start() meets; where something cannot be reached, log it and try again later",
    ),
    "start_timeout": Text(
        zh="给 start() 中的等待加上时限，或把它移到后台任务",
        en="limit the waits in start(), or move them to a task in the background",
    ),
    "self_check_failed": Text(
        zh="处理 self_check() 报告的原因；它失败时旧版本继续服务",
        en="see to what self_check() reports; while it fails, the older generation serves on",
    ),
    "self_check_timeout": Text(zh="给 self_check() 中的等待加上时限", en="limit the waits in self_check()"),
    "stop_failed": Text(
        zh="处理 stop() 中的异常，并让它在时限内结束", en="handle what stop() meets, and let it end in time"
    ),
    "conflict": Text(zh="给其中一个换一个 name", en="give one of the two another name"),
    # -- calls
    "blocking_call": Text(
        zh="改用异步的做法（asyncio.sleep、await asyncio.to_thread(...)），或把方法改为普通的 def：它会在线程中运行",
        en="await instead (asyncio.sleep, await asyncio.to_thread(...)), or make the method a plain def: "
        "those run in threads",
    ),
    "call_failed": Text(zh="改正抛出异常的这一行", en="mend the line that raises"),
    "call_timeout": Text(zh="给其中的等待加上时限", en="limit the waits in it"),
    "call_crashed": Text(
        zh="查找 os._exit、信号或原生扩展", en="look for os._exit, signals or a native extension"
    ),
}


def help_for(code: str) -> Text:
    """The remedy for a code."""
    return REMEDIES.get(code, UNKNOWN)
