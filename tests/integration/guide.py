"""Follows a document as a reader would: writes its files, runs its commands and looks for what it says they print.

- A ```python or ```javascript block begins with a comment that names its file.
- In a ```console block a line after `$ ` is a command; the lines below it are found in what it prints, in their order,
  and their words may be further apart there. `…` stands for anything. A comment `# exit status 1` says that it fails.
- `plugbay serve` starts a server on a free port, which stands for http://127.0.0.1:8000 from then on.

    python -m tests.integration.guide DOCUMENT FOLDER      follows one, in the language of PLUGBAY_LANG
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from service.cli.language import LANGUAGE
from service.cli.main import plugbay
from service.sdk.testing.process import server_process

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8000"
# What the reader did before; the environment that the tests run in is made by it.
DONE_BEFORE = re.compile(r"make setup|\. \.venv/bin/activate|cd plugbay$|(\S+/)?pip install ")
# What only looks may be repeated until the server has seen a file that was written just before.
LOOKS = re.compile(
    r"curl (?!.*-X)|plugbay (list|search|revisions|tasks|download|config get|events)\b|cat |ls "
)
PATIENCE_S = 10.0


class Step(NamedTuple):
    """A file to write, or a command to run with what it prints."""

    line: int
    file: str | None
    text: str
    prints: list[str]


def steps_of(document: str) -> list[Step]:
    """What there is to do, in order."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    steps: list[Step] = []
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        language, body = match[1], match[2]
        line = text[: match.start()].count("\n") + 2
        if language in ("python", "javascript"):
            named = re.match(r"(?:#|//) (\S+\.(?:py|txt|mjs))\n", body)
            assert named, f"{document}:{line} does not name its file"
            steps.append(Step(line, named[1], body, []))
        elif language == "console":
            for number, row in enumerate(body.splitlines()):
                if row.startswith("$ "):
                    steps.append(Step(line + number, None, row.removeprefix("$ "), []))
                else:
                    steps[-1].prints.append(row)
    return steps


class Reader:
    """Somebody who follows a document.

    Args:
        folder: their home folder, where they begin.
        environ: more of the environment of what they run.
        addresses: what stands for addresses of the document.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], addresses: Mapping[str, str]) -> None:
        self.folder = folder
        self.addresses = dict(addresses)
        self._cwd = folder
        self._stack = ExitStack()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PLUGBAY_")}
        programs = str(Path(sys.executable).parent)
        self.environ = {
            **kept,
            "PATH": os.pathsep.join([programs, kept.get("PATH", "")]),
            "HOME": str(folder),
            "PLUGBAY_LANG": LANGUAGE,
            "COLUMNS": "120",
            **environ,
        }

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def follow(self, document: str) -> None:
        """Does all that the document says; fails where it does not turn out as it says."""
        for step in steps_of(document):
            try:
                self._do(step)
            except AssertionError as error:
                raise AssertionError(f"docs/{document}:{step.line}: {step.text[:200]}\n{error}") from error

    def _do(self, step: Step) -> None:
        if step.file is not None:
            file = self._path(step.file)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(step.text, encoding="utf-8")
            return
        command, _, remark = step.text.partition("  #")
        command = command.strip()
        for shown, real in self.addresses.items():
            command = command.replace(shown, real)
        if DONE_BEFORE.match(command):
            return
        if command.startswith("cd "):
            self._cwd = self._path(command.removeprefix("cd "))
            assert self._cwd.is_dir()
            return
        if command.startswith("plugbay serve"):
            self._serve(shlex.split(command))
            return
        status = 1 if "exit status 1" in remark else 0
        deadline = time.monotonic() + (PATIENCE_S if LOOKS.match(command) else 0)
        while True:
            code, printed = self._run(command)
            missing = missing_line(step.prints, printed)
            if code == status and missing is None:
                return
            if time.monotonic() >= deadline:
                assert code == status, f"exit status {code}\n{printed}"
                assert missing is None, f"does not print {missing!r} but\n{printed}"
            time.sleep(0.05)

    def _serve(self, words: list[str]) -> None:
        home = self._path(words[words.index("--home") + 1])
        home.mkdir(parents=True, exist_ok=True)
        url = self._stack.enter_context(server_process(home, self.environ))
        self.addresses[ADDRESS] = self.environ["PLUGBAY_URL"] = url
        deadline = time.monotonic() + 20
        while self._run(f"curl -sf {url}/readyz")[0]:
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.05)

    def _path(self, name: str) -> Path:
        return self._cwd / name.replace("~", str(self.folder), 1).strip()

    def _run(self, command: str) -> tuple[int, str]:
        # A client command runs in this process, which is quicker, where no shell has to take part. Those that run
        # plugins themselves end every child of their process with them, the server too.
        if re.match(r"plugbay (?!check|try)", command) and not re.search(r"[|&;<>$~]", command):
            before = Path.cwd()
            os.chdir(self._cwd)
            try:
                runner = CliRunner(env={**self.environ})
                result = runner.invoke(plugbay, shlex.split(command)[1:], prog_name="plugbay")
            finally:
                os.chdir(before)
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            return result.exit_code, result.output
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._cwd,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout


def missing_line(prints: list[str], printed: str) -> str | None:
    """The first of the lines that is not printed, one after the other."""
    flat = " ".join(printed.split())
    at = 0
    for line in prints:
        words = [re.escape(word).replace("…", ".*?") for word in line.split()]
        match = re.compile(".*?".join(words)).search(flat, at) if words else None
        if words and match is None:
            return line
        at = match.end() if match else at
    return None


if __name__ == "__main__":
    with Reader(Path(sys.argv[2]), {}, {}) as reader:
        reader.follow(sys.argv[1])
