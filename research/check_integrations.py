"""`python -m research.check_integrations`: each trainer plays, in its own virtual environment."""

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
from typing import Annotated, Any

import typer
from rich.console import Console

from openenv_kit.cli.common import build_table, report_usage_errors
from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError, require_name

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ENGINE_REQUIREMENTS = ("numpy", "orjson", "pandas", "pydantic", "rich", "typer")
"""What the engine and the adapters need. The server's requirements are left out, because some
trainers need other versions of them."""
TEST_REQUIREMENTS = ("pytest", "pytest-asyncio")
EXCLUDE_NEWER = "2026-11-16T00:00:00Z"
"""Releases uploaded later are not installed; raise it together with the ranges below."""
SERVER_VARIABLE = "METRIC_TRACKER_CHECK_SERVER"
"""Holds the address of the server that checks play on."""
SKIPPED = "skipped"
"""Result of a trainer whose Python is not available, unless it was asked for by name."""


@dataclass(frozen=True)
class Integration:
    """One trainer.

    Attributes:
        name: identifier; its check is `tests/integrations/check_<name>.py`.
        requirements: what to install.
        installed_first: requirements that pip installs before the others: a build of a library
            that would otherwise be installed as a much larger one.
        oldest_python: oldest Python it supports; None for this one's version.
        environ: variables of its check.
    """

    name: str
    requirements: tuple[str, ...]
    installed_first: tuple[str, ...] = ()
    oldest_python: tuple[int, ...] | None = None
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def python_specifier(self) -> str:
        """The Python to make its environment with, as uv takes it."""
        return (
            f">={_format_version(self.oldest_python)},<3.15"
            if self.oldest_python
            else _format_version(sys.version_info[:2])
        )


INTEGRATIONS: dict[str, Integration] = {
    each.name: each
    for each in (
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
        list[str] | None, typer.Argument(help=f"Of {', '.join(INTEGRATIONS)}. Default: all.")
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

    A trainer whose Python is not available is skipped, or fails the run if it was asked for by
    name. A server for the checks is started on loopback.
    """
    console = Console()
    with report_usage_errors():
        chosen = [require_name("integration", name, INTEGRATIONS) for name in names or INTEGRATIONS]
        pythons = dict(_parse_python_option(text) for text in python or ())
    rows, failed = [], False
    with ExitStack() as stack:
        # Started by the first check that runs, and not at all if all are skipped.
        server = cache(lambda: _start_server(stack))
        for name in chosen:
            started = time.perf_counter()
            folder = environments.resolve() / name
            with Console(stderr=True).status(f"{name}: installing and checking"):
                result, output = _check_integration(
                    INTEGRATIONS[name], folder, checkout.resolve(), pythons.get(name), server
                )
            rows.append((name, result, f"{time.perf_counter() - started:.0f}"))
            skipped = result.startswith(SKIPPED) and not names
            if not result.endswith("passed") and not skipped:
                failed = True
                console.print(output, markup=False, highlight=False)
    titles = ("trainer", "result", "seconds")
    console.print(
        build_table("Trainers, each in its own environment", titles, rows, text_column_count=3)
    )
    raise typer.Exit(1 if failed else 0)


def _start_server(stack: ExitStack) -> str:
    """Address of a server of its own, which is stopped with the stack."""
    # Checks import this module where the server's requirements are not installed.
    from openenv_kit.agent.servers import EmbeddedServer

    server = asyncio.run(EmbeddedServer(get_environment().name).start())
    stack.callback(lambda: asyncio.run(server.stop()))
    return server.url


def _parse_python_option(text: str) -> tuple[str, Path]:
    """Trainer and interpreter of an option `TRAINER=PATH`.

    Raises:
        ConfigurationError: no such trainer, or not a Python that it supports.
    """
    name, _, given = text.partition("=")
    oldest = INTEGRATIONS[require_name("integration", name, INTEGRATIONS)].oldest_python or (3, 11)
    found = shutil.which(given)
    done = (
        _run_command([found, "-c", "import sys; print(*sys.version_info[:3])"]) if found else None
    )
    if not found or not done or done.returncode or tuple(map(int, done.stdout.split())) < oldest:
        wanted = f"a Python {_format_version(oldest)} or newer, as {name}=PATH"
        raise InvalidValueError("--python", text, wanted)
    return name, Path(found).absolute()


def _format_version(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _run_command(command: Sequence[str | Path], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def _check_integration(
    integration: Integration,
    folder: Path,
    checkout: Path,
    chosen_python: Path | None,
    start_server: Callable[[], str],
) -> tuple[str, str]:
    """Result in a few words, and everything that was printed."""
    python = folder / "bin" / "python"
    if (
        integration.oldest_python
        and not chosen_python
        and not python.exists()
        and not _is_python_available(integration.python_specifier)
    ):
        return f"{SKIPPED}: no Python {integration.python_specifier} found", ""
    for command in _setup_commands(integration, folder, checkout, chosen_python):
        done = _run_command(command)
        if done.returncode:
            return "not installed", done.stdout + done.stderr
    check = checkout / "tests" / "integrations" / f"check_{integration.name}.py"
    done = _run_command(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, check],
        cwd=check.parent,
        env={**os.environ, **integration.environ, SERVER_VARIABLE: start_server()},
    )
    last = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
    # pytest's exit code 5 is a check that ran no test.
    result = last.split(" in ")[0].split(",")[0] if done.returncode == 0 else "failed"
    return result, done.stdout + done.stderr


def _is_python_available(python: str) -> bool:
    """Whether uv finds such a Python or can install one."""
    commands = (["find", "--no-project", python], ["install", python])
    return any(_run_command(["uv", "python", *each]).returncode == 0 for each in commands)


def _setup_commands(
    integration: Integration, folder: Path, checkout: Path, chosen_python: Path | None
) -> list[list[str]]:
    """Commands that make the trainer's environment, or bring it up to date."""
    python = folder / "bin" / "python"
    install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    # In the checkout uv would apply the constraints of its pyproject.toml, which some trainers
    # contradict.
    install += ["--directory", tempfile.gettempdir(), "--exclude-newer", EXCLUDE_NEWER]
    commands = []
    if chosen_python or not python.exists():
        made_with = ["--python", str(chosen_python or integration.python_specifier)]
        commands.append(["uv", "venv", "--quiet", "--seed", "--clear", *made_with, str(folder)])
    if integration.installed_first:
        commands.append(
            [str(python), "-m", "pip", "install", "--quiet", *integration.installed_first]
        )
    commands.append([*install, *integration.requirements, *ENGINE_REQUIREMENTS, *TEST_REQUIREMENTS])
    # Not editable: plug-ins are found by what is installed.
    commands.append([*install, "--no-deps", "--reinstall", str(checkout)])
    return commands


if __name__ == "__main__":
    app()
