"""Commands and Python blocks of README, CONTRIBUTING and docs are run and checked."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from support.documentation_blocks import (
    PYTHON,
    SHELL,
    Block,
    PageError,
    blocks_of,
    commands_of,
    inline_commands,
)
from support.forked_python import Program, warm_python
from support.paths import ROOT

pytestmark = pytest.mark.slow

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
    if path.name != "CHANGELOG.md"
)
TUTORIAL = "docs/your-own-environment.md"
"""Followed in an empty folder, with the wheel, by tests/project/test_distribution.py."""
BIN = Path(sys.executable).parent
ADDRESS = re.compile(r"(127\.0\.0\.1|localhost):8000\b")
PLAIN_SERVER = "uv run server --port 8000"
TIME_LIMIT_S = 240.0
LEFT_OUT = (".git", ".venv", "*_cache", "__pycache__", "results*.json", "runs", "site", "dist")

OUR_PROGRAMS = ("metric-tracker", "server")
NEEDS_A_SHELL = re.compile(r"[|&;<>$`*]")

NOT_HERE = {
    "uv run pytest -n 4": "this test is a part of it",
    **dict.fromkeys(
        ("uv run ruff check", "uv run ruff format --check", "uv run mypy"),
        ".ci/run starts with them, on a checkout without their caches",
    ),
    "uv run openenv validate . --level static": (
        "tests/project/test_framework_validation.py runs it"
    ),
}
"""Commands that no page has to mark, with the reason."""


class Servers:
    """Servers that pages asked for, by command; equal commands share one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, tuple[subprocess.Popen[bytes] | Program, str]] = {}

    def address(self, command: str) -> str:
        """host:port of the server that a command starts, once it answers."""
        if command not in self._running:
            self._running[command] = self._start(command)
        return self._running[command][1]

    def _start(self, command: str) -> tuple[subprocess.Popen[bytes] | Program, str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        moved = re.sub(r"--port[ =]\d+", f"--port {port}", command)
        with (self._folder / f"server-{port}.log").open("wb") as log:
            address_of_it = {"HOST": "127.0.0.1", "PORT": str(port)}
            server = started(moved, self._folder, log, address_of_it)
        address = f"127.0.0.1:{port}"
        self._running[command] = (server, address)
        for _ in range(600):
            if server.poll() is not None:
                break
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/health"):
                return server, address
            time.sleep(0.2)
        pytest.fail(f"{command}: no answer\n{(self._folder / f'server-{port}.log').read_text()}")

    def stop(self) -> None:
        """Stop them all, with whatever they started."""
        for server, _ in self._running.values():
            end(server, signal.SIGTERM)
        for server, _ in self._running.values():
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                end(server, signal.SIGKILL)
                server.wait()


def started(
    command: str, folder: Path, output: Any, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes] | Program:
    """Start a command as a shell would, but our own programs without their imports."""
    words = shlex.split(command, comments=True)
    set_before = list(itertools.takewhile(lambda word: "=" in word, words))
    program = words[len(set_before) :]
    env = {**environment(), **(variables or {}), **dict(each.split("=", 1) for each in set_before)}
    program = program[2:] if program[:2] == ["uv", "run"] else program
    warm = None
    if not NEEDS_A_SHELL.search(command) and "--workers" not in program:
        if program[0] in OUR_PROGRAMS:
            warm = [str(BIN / program[0]), *program[1:]]
        elif program[0] == "python" and program[1].endswith(".py"):
            warm = [str(folder / program[1]), *program[2:]]
    if warm:
        return warm_python(*warm, cwd=folder, env=env, stdout=output, stderr=subprocess.STDOUT)
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes] | Program, number: signal.Signals) -> None:
    """Send a signal to a process and, where it leads a group, to whatever it started."""
    if isinstance(process, subprocess.Popen):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    else:
        process.send_signal(number)


def environment() -> dict[str, str]:
    """The environment of documented commands: this one, without keys and without a sync."""
    unset = ("HF_TOKEN", "OPENAI_API_KEY", "API_KEY", "BASE_URL", "OPENENV_KIT_DEBUG")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "UV_NO_SYNC": "1", "NO_MKDOCS_2_WARNING": "1", "COLUMNS": "120"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that what commands write lands elsewhere.

    A copy and not links: the framework validates no package that is linked to.
    """
    folder = tmp_path_factory.mktemp("copy") / "checkout"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (folder / ".venv").symlink_to(BIN.parent)
    return folder


@pytest.fixture(scope="module")
def servers(checkout: Path) -> Iterator[Servers]:
    running = Servers(checkout)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def already_run() -> set[str]:
    """Commands that went well on some page, and need not run again."""
    return set()


@pytest.fixture
def registries_restored() -> Iterator[None]:
    """What a page's example registers is gone after it."""
    from metric_tracker_rl.policies import POLICIES

    before = dict(POLICIES)
    yield
    POLICIES.clear()
    POLICIES.update(before)


@pytest.mark.parametrize("page", [page for page in PAGES if page != TUTORIAL])
def test_every_block_of_a_page_does_what_it_says(
    page: str,
    checkout: Path,
    servers: Servers,
    already_run: set[str],
    registries_restored: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(checkout)
    namespace: dict[str, object] = {"__name__": "__page__"}
    server = PLAIN_SERVER
    for block in blocks_of(page, (ROOT / page).read_text()):
        if block.kind == "not run":
            continue
        if block.kind == "serve":
            (server,) = commands_of(block.text)
            servers.address(server)
            continue
        text = block.text
        if ADDRESS.search(text):
            text = ADDRESS.sub(servers.address(server), text)
        if block.language in PYTHON:
            run_python(block, text, namespace)
        elif block.language in SHELL:
            run_shell(block, text, checkout, already_run, cold=page == "README.md")


def run_python(block: Block, text: str, namespace: dict[str, object]) -> None:
    """Run a Python block in its page's namespace."""
    padding = "\n" * block.line  # so that a traceback names the page's own line
    if block.kind == "fails":
        with pytest.raises(Exception, match=re.escape(block.words)):
            exec(compile(padding + text, block.page, "exec"), namespace)
    else:
        exec(compile(padding + text, block.page, "exec"), namespace)


def run_shell(
    block: Block, text: str, folder: Path, already_run: set[str], *, cold: bool = False
) -> None:
    """Run a shell block as one script, less what ran before or cannot.

    Unless `cold`, commands alone in their lines are run one by one, and ours without their imports.
    """
    commands = commands_of(text)
    simple = all(command.startswith(("uv ", "curl ")) for command in commands)
    if simple:
        commands = [
            command
            for command in commands
            if bare(command) not in NOT_HERE and bare(command) not in already_run
        ]
        text = "\n".join(commands)
    for script in commands if simple and not cold else [text] if commands else []:
        with tempfile.TemporaryFile() as output:
            process = started(script, folder, output)
            try:
                code = process.wait(timeout=TIME_LIMIT_S)
            finally:
                end(process, signal.SIGKILL)
            output.seek(0)
            printed = output.read().decode()
        if block.kind == "fails":
            assert code != 0, f"{block.place} was to fail"
            assert block.words in printed, f"{block.place}:\n{printed}"
            return
        assert code == 0, f"{block.place}: exit code {code}\n{printed}"
    already_run.update(bare(command) for command in commands)


def bare(command: str) -> str:
    """A command without its comment and with single spaces."""
    return shlex.join(shlex.split(command, comments=True))


@pytest.mark.parametrize("page", PAGES)
def test_a_command_within_a_sentence_names_programs_and_options_there_are(page: str) -> None:
    wrong = {
        command: problem
        for command in inline_commands((ROOT / page).read_text())
        if (problem := problem_of(command))
    }
    assert wrong == {}


def problem_of(command: str) -> str | None:
    """What is wrong with a mentioned command, or None. Placeholders such as NAME are fine."""
    words = shlex.split(command.removeprefix("uv run "))
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    program, *rest = [word for word in words if not word.startswith("--")]
    if program in ("python", "python3"):
        if rest[:1] == ["-m"]:
            script = ROOT / rest[1].replace(".", "/") / "__main__.py"
            there = script.is_file() or importlib.util.find_spec(rest[1])
            return None if there else f"no module {rest[1]}"
        program, *rest = rest
        if not (ROOT / program).is_file():
            return f"no file {program}"
    elif not (BIN / program).exists():
        return f"no program {program}"
    if program in ("pytest", "mypy", "ruff"):
        missing = [word for word in rest if "/" in word and not (ROOT / word).exists()]
        return f"no file {missing[0]}" if missing else None
    subcommand = rest[0] if program in ("metric-tracker", "openenv", "mkdocs") and rest else ""
    text = help_of(program, subcommand)
    if text is None:
        return f"{program} has no {subcommand}"
    unknown = [option for option in options if not re.search(rf"{option}\b", text)]
    return f"{program} {subcommand} has no {unknown[0]}" if unknown else None


@cache
def help_of(program: str, subcommand: str) -> str | None:
    """Help text of a program or its subcommand; None if it has no such subcommand.

    Called in this process where that is possible: half of our programs load the framework.
    """
    arguments = [program, *([subcommand] if subcommand else []), "--help"]
    if program.endswith(".py"):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout if done.returncode == 0 else None
    (entry,) = entry_points(group="console_scripts", name=program)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", arguments)
        patched.setenv("COLUMNS", "200")
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            try:
                code = entry.load()()
            except SystemExit as end:
                code = end.code
    return printed.getvalue() if not code else None


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("uv run metric-traker certify", "no program metric-traker"),
        ("uv run metric-tracker certifie", "metric-tracker has no certifie"),
        ("uv run metric-tracker certify --sedes 3", "metric-tracker certify has no --sedes"),
        ("uv run python inferense.py", "no file inferense.py"),
        ("uv run pytest tests/test_nothing.py", "no file tests/test_nothing.py"),
        ("uv run python -m metric_tracker_rl.nothing", "no module metric_tracker_rl.nothing"),
        ("metric-tracker certify --seeds N", None),
    ],
)
def test_a_mentioned_command_that_does_not_exist_would_be_seen(
    command: str, problem: str | None
) -> None:
    assert problem_of(command) == problem


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<!-- not run -->\n```bash\nls\n```\n", "needs words"),
        ("<!-- not ran: tired -->\n```bash\nls\n```\n", "marker 'not ran'"),
        ("<!-- not run: tired -->\nAnd so on.\n", "no block"),
        ("```\nuv run server\n```\n", "not marked as bash"),
        ("```pyton\n1 + 1\n```\n", "neither run nor shown"),
        ("```bash\nls\n", "never closed"),
    ],
)
def test_block_that_no_test_runs_is_rejected(text: str, complaint: str) -> None:
    with pytest.raises(PageError, match=complaint):
        blocks_of("page.md", text)


def test_a_marker_belongs_to_the_block_after_it_alone() -> None:
    marked = "<!-- not run: no account -->\n\n  ```bash\n  push \\\n    --all\n  ```\n"
    text = marked + "```bash\nls # here\n```\n"
    first, second = blocks_of("page.md", text)
    assert (first.kind, first.words, commands_of(first.text)) == (
        "not run",
        "no account",
        ["push    --all"],
    )
    assert (second.kind, second.line, commands_of(second.text)) == ("", 7, ["ls # here"])
    assert bare("ls   # here") == "ls"


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    (wrong,) = blocks_of("page.md", "```bash\ntrue\nfalse\ntrue\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:1: exit code 1"):
        run_shell(wrong, wrong.text, tmp_path, set())
    (wrong,) = blocks_of("page.md", "text\n\n```python\nassert 1 == 2\n```\n")
    with pytest.raises(AssertionError):
        run_python(wrong, wrong.text, {})


def test_a_block_that_is_to_fail_and_does_not_is_noticed(tmp_path: Path) -> None:
    (tame,) = blocks_of(
        "page.md", "<!-- fails: unknown seed -->\n```bash\necho unknown seed\n```\n"
    )
    with pytest.raises(AssertionError, match="was to fail"):
        run_shell(tame, tame.text, tmp_path, set())
