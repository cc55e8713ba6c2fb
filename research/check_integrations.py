"""`python -m research.check_integrations`: checks each trainer in its virtual environment."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from openenv_kit.cli.common import build_table, exit_with_result, report_usage_errors
from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError, require_name

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ENGINE_REQUIREMENTS = ("numpy", "orjson", "pandas", "pydantic", "rich", "typer")
"""Requirements of the engine and the adapters. The server's requirements are left out, because some
trainers need other versions of them."""
TEST_REQUIREMENTS = ("pytest", "pytest-asyncio")
EXCLUDE_NEWER = "2026-11-16T00:00:00Z"
"""Releases uploaded later are not installed. Raise the date together with the ranges below."""
SERVER_VARIABLE = "METRIC_TRACKER_CHECK_SERVER"
"""Environment variable with the address of the server that the checks use."""
SKIPPED = "skipped"
"""Result of a trainer whose Python is not available."""


@dataclass(frozen=True)
class Integration:
    """One trainer.

    Attributes:
        name: identifier; its checks are `tests/integrations/check_<name>*.py`.
        requirements: requirements to install.
        installed_first: requirements that pip installs before the others: a build of a library
            that would otherwise be installed as a much larger one.
        oldest_python: oldest supported version of Python; None to use the current version.
        environ: environment variables of its check.
    """

    name: str
    requirements: tuple[str, ...]
    installed_first: tuple[str, ...] = ()
    oldest_python: tuple[int, ...] | None = None
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def python_specifier(self) -> str:
        """Version of Python for its environment, in the syntax of uv."""
        return (
            f">={_format_version(self.oldest_python)},<3.15"
            if self.oldest_python
            else _format_version(sys.version_info[:2])
        )


INTEGRATIONS: dict[str, Integration] = {
    integration.name: integration
    for integration in (
        Integration("inspect_ai", ("inspect-ai>=0.3.285,<0.4", "openai")),
        Integration("skyrl", ("skyrl-gym>=0.4,<0.5",)),
        Integration("verifiers", ("verifiers>=0.4,<0.5",)),
        Integration(
            "trl",
            ("trl>=1.16,<2",),
            installed_first=("torch==2.13.0",),
            environ={"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"},
        ),
        Integration(
            "nemo_gym", ("nemo-gym>=0.7,<0.8", "httpx", "pyyaml"), oldest_python=(3, 13, 14)
        ),
    )
}


@app.command()
def check_integrations(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(INTEGRATIONS)}. Default: all.")
    ] = None,
    environments: Annotated[
        Path, typer.Option(help="Folder for the virtual environments; they are reused.")
    ] = Path(".integrations"),
    checkout: Annotated[Path, typer.Option(help="Checkout of this project.")] = Path(),
    python: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRAINER=PATH",
            help="Recreate a trainer's environment with this Python; may be repeated.",
        ),
    ] = None,
) -> None:
    """Create a virtual environment for each trainer with uv, and run the trainer's check in it.

    A trainer without an available Python is skipped, or fails the run if it was named. A server
    for the checks is started on loopback.
    """
    console = Console()
    with report_usage_errors():
        selected = [
            require_name("integration", name, INTEGRATIONS) for name in names or INTEGRATIONS
        ]
        pythons = dict(_parse_python_option(text) for text in python or ())
    rows, failed = [], False
    with ExitStack() as stack:
        # The first check that runs starts the server; if all are skipped, none is started.
        start_server = cache(lambda: _start_server(stack))
        for name in selected:
            started = time.perf_counter()
            folder = environments.resolve() / name
            with Console(stderr=True).status(f"{name}: installing and checking"):
                result, output = _check_integration(
                    INTEGRATIONS[name], folder, checkout.resolve(), pythons.get(name), start_server
                )
            rows.append((name, result, f"{time.perf_counter() - started:.0f}"))
            may_skip = result.startswith(SKIPPED) and not names
            if not result.endswith("passed") and not may_skip:
                failed = True
                console.print(output, markup=False, highlight=False)
    titles = ("trainer", "result", "seconds")
    console.print(
        build_table("Trainers in separate virtual environments", titles, rows, text_column_count=3)
    )
    exit_with_result(has_failed=failed)


def _start_server(stack: ExitStack) -> str:
    """Start a server that is stopped with the stack. Return its address."""
    # Checks import this module in environments without the server's requirements.
    from openenv_kit.agent.servers import EmbeddedServer

    server = asyncio.run(EmbeddedServer(get_environment().name).start())
    stack.callback(lambda: asyncio.run(server.stop()))
    return server.url


class _ChosenPython(NamedTuple):
    """A trainer and the interpreter for its environment."""

    trainer: str
    interpreter: Path


def _parse_python_option(text: str) -> _ChosenPython:
    """Parse an option `TRAINER=PATH`.

    Raises:
        ConfigurationError: the trainer is unknown, or does not support this Python.
    """
    name, _, command = text.partition("=")
    oldest = INTEGRATIONS[require_name("integration", name, INTEGRATIONS)].oldest_python or (3, 11)
    interpreter = shutil.which(command)
    version = _read_python_version(interpreter) if interpreter else None
    if not interpreter or version is None or version < oldest:
        allowed = f"a Python {_format_version(oldest)} or newer, as {name}=PATH"
        raise InvalidValueError("--python", text, allowed)
    return _ChosenPython(name, Path(interpreter).absolute())


def _read_python_version(interpreter: str) -> tuple[int, ...] | None:
    """Return the version of an interpreter; None if it cannot be run."""
    completed = _run_command([interpreter, "-c", "import sys; print(*sys.version_info[:3])"])
    return None if completed.returncode else tuple(map(int, completed.stdout.split()))


def _format_version(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _run_command(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


class _CheckResult(NamedTuple):
    """Result of a trainer in a few words, and the output of the commands."""

    summary: str
    output: str


def _check_integration(
    integration: Integration,
    folder: Path,
    checkout: Path,
    chosen_python: Path | None,
    start_server: Callable[[], str],
) -> _CheckResult:
    """Set up the trainer's environment and run its check in it."""
    python = folder / "bin" / "python"
    if (
        integration.oldest_python
        and not chosen_python
        and not python.exists()
        and not _is_python_available(integration.python_specifier)
    ):
        return _CheckResult(f"{SKIPPED}: no Python {integration.python_specifier} found", "")
    for command in _setup_commands(integration, folder, checkout, chosen_python):
        completed = _run_command(command)
        if completed.returncode:
            return _CheckResult("not installed", completed.stdout + completed.stderr)
    folder_of_checks = checkout / "tests" / "integrations"
    checks = sorted(folder_of_checks.glob(f"check_{integration.name}*.py"))
    completed = _run_command(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, *checks],
        cwd=folder_of_checks,
        env={**os.environ, **integration.environ, SERVER_VARIABLE: start_server()},
    )
    last_line = (completed.stdout.strip().splitlines() or ["no output"])[-1]
    # A check that ran no test fails: pytest exits with 5.
    summary = "failed"
    if completed.returncode == 0:
        summary = last_line.split(" in ")[0].split(",")[0]
    return _CheckResult(summary, completed.stdout + completed.stderr)


def _is_python_available(python: str) -> bool:
    """Return whether uv finds this version of Python or can install it."""
    commands = (
        ["uv", "python", "find", "--no-project", python],
        ["uv", "python", "install", python],
    )
    return any(_run_command(command).returncode == 0 for command in commands)


def _setup_commands(
    integration: Integration, folder: Path, checkout: Path, chosen_python: Path | None
) -> list[list[str]]:
    """Return the commands that create the trainer's environment or update it."""
    python = folder / "bin" / "python"
    install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    # In the checkout, uv would apply the constraints of pyproject.toml, which conflict with the
    # requirements of some trainers.
    install += ["--directory", tempfile.gettempdir(), "--exclude-newer", EXCLUDE_NEWER]
    commands = []
    if chosen_python or not python.exists():
        version = str(chosen_python or integration.python_specifier)
        commands.append(
            ["uv", "venv", "--quiet", "--seed", "--clear", "--python", version, str(folder)]
        )
    if integration.installed_first:
        commands.append(
            [str(python), "-m", "pip", "install", "--quiet", *integration.installed_first]
        )
    commands.append([*install, *integration.requirements, *ENGINE_REQUIREMENTS, *TEST_REQUIREMENTS])
    # The project is not installed as editable, because plug-ins are found in installed packages.
    commands.append([*install, "--no-deps", "--reinstall", str(checkout)])
    return commands


if __name__ == "__main__":
    app()
