"""`metric-tracker check-integrations`: each trainer plays, in its own virtual environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from openenv_kit.cli.server_process import serving
from openenv_kit.errors import ConfigurationError, InvalidValueError, UnknownNameError

ENGINE = ("numpy", "pandas", "pydantic", "rich", "typer")
"""What the engine and the adapters need. The server's requirements are left out, because some
trainers need other versions of them."""
TESTING = ("pytest", "pytest-asyncio")
SERVER_VARIABLE = "METRIC_TRACKER_CHECK_SERVER"
"""Holds the address of the server that checks play on."""
SERVER_SETTINGS = {
    "METRIC_TRACKER_EPISODE_STORE": "memory",
    "METRIC_TRACKER_DEBUG": "false",
    "METRIC_TRACKER_TOKEN": "",
    "ENABLE_WEB_INTERFACE": "false",
}
SKIPPED = "skipped"
"""Result of a trainer whose Python is not available, unless it was asked for by name."""


@dataclass(frozen=True)
class Integration:
    """One trainer.

    Attributes:
        name: identifier; its check is `tests/integrations/check_<name>.py`.
        requirements: what to install.
        first: installed first, by pip itself: a build of a library that the requirements would
            otherwise replace by a much larger one.
        python: oldest Python it supports; None for this one's version.
        environ: variables of its check.
    """

    name: str
    requirements: tuple[str, ...]
    first: tuple[str, ...] = ()
    python: tuple[int, ...] | None = None
    environ: dict[str, str] = field(default_factory=dict)


INTEGRATIONS: dict[str, Integration] = {
    each.name: each
    for each in (
        Integration("inspect_ai", ("inspect-ai>=0.3.285,<0.4", "openai")),
        Integration("skyrl", ("skyrl-gym>=0.4,<0.5",)),
        Integration("verifiers", ("verifiers>=0.4,<0.5",)),
        Integration(
            "trl",
            ("trl>=1.16,<2",),
            first=("torch==2.13.0",),
            environ={"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"},
        ),
        Integration("nemo_gym", ("nemo-gym>=0.7,<0.8", "httpx", "pyyaml"), python=(3, 13, 14)),
    )
}


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
    try:
        for name in names or ():
            _integration(name)
        pythons = dict(_chosen_python(text) for text in python or ())
    except ConfigurationError as problem:
        raise typer.BadParameter(str(problem)) from None
    table = Table(title="Trainers, each in its own environment")
    for title in ("trainer", "result", "seconds"):
        table.add_column(title)
    failed = False
    with ExitStack() as stack:
        # Started by the first check that runs, and not at all if all are skipped.
        server = cache(lambda: stack.enter_context(serving(environ=SERVER_SETTINGS)).url)
        for name in names or INTEGRATIONS:
            started = time.perf_counter()
            place = Place(environments.resolve(), checkout.resolve(), pythons.get(name))
            with Console(stderr=True).status(f"{name}: installing and checking"):
                result, output = _check(INTEGRATIONS[name], place, server)
            table.add_row(name, result, f"{time.perf_counter() - started:.0f}")
            skipped = result.startswith(SKIPPED) and not names
            if not result.endswith("passed") and not skipped:
                failed = True
                console.print(output, markup=False, highlight=False)
    console.print(table)
    raise typer.Exit(1 if failed else 0)


@dataclass(frozen=True)
class Place:
    """Where a check runs.

    Attributes:
        environments: folder of all environments.
        checkout: this project.
        python: the interpreter asked for, or None.
    """

    environments: Path
    checkout: Path
    python: Path | None


def _integration(name: str) -> Integration:
    if name not in INTEGRATIONS:
        raise UnknownNameError("integration", name, INTEGRATIONS)
    return INTEGRATIONS[name]


def _chosen_python(text: str) -> tuple[str, Path]:
    """Trainer and interpreter of an option `TRAINER=PATH`.

    Raises:
        ConfigurationError: no such trainer, or not a Python that it supports.
    """
    name, _, given = text.partition("=")
    oldest = _integration(name).python or (3, 11)
    wanted = f"a Python {_dotted(oldest)} or newer, as {name}=PATH"
    found = shutil.which(given)
    if found is None:
        raise InvalidValueError("--python", text, wanted)
    command = [found, "-c", "import sys; print(*sys.version_info[:3])"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or tuple(map(int, done.stdout.split())) < oldest:
        raise InvalidValueError("--python", text, wanted)
    return name, Path(found).absolute()


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _check(integration: Integration, place: Place, server: Callable[[], str]) -> tuple[str, str]:
    """Result in a few words, and everything that was printed."""
    folder = place.environments / integration.name
    python = folder / "bin" / "python"
    if integration.python and not place.python and not python.exists():
        wanted = f">={_dotted(integration.python)}"
        if not _found(wanted):
            return f"{SKIPPED}: no Python {wanted} found", ""
    for command in _setup(integration, folder, python, place):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return "not installed", done.stdout + done.stderr
    check = place.checkout / "tests" / "integrations" / f"check_{integration.name}.py"
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, check],
        cwd=check.parent,
        env={**os.environ, **integration.environ, SERVER_VARIABLE: server()},
        capture_output=True,
        text=True,
        check=False,
    )
    last = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
    # pytest's exit code 5 is a check that ran no test.
    result = f"{last.split(' in ')[0].split(',')[0]}" if done.returncode == 0 else "failed"
    return result, done.stdout + done.stderr


def _found(python: str) -> bool:
    """Whether uv finds such a Python or can install one."""
    command = ["uv", "python", "find", "--no-project", python]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return True
    install = ["uv", "python", "install", python]
    return subprocess.run(install, capture_output=True, check=False).returncode == 0


def _setup(integration: Integration, folder: Path, python: Path, place: Place) -> list[list[str]]:
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    if integration.python:
        wanted = f">={_dotted(integration.python)}"
    install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    commands = []
    if place.python or not python.exists():
        made_with = ["--python", str(place.python or wanted)]
        commands.append(["uv", "venv", "--quiet", "--seed", "--clear", *made_with, str(folder)])
    if integration.first:
        commands.append([str(python), "-m", "pip", "install", "--quiet", *integration.first])
    commands.append([*install, *integration.requirements, *ENGINE, *TESTING])
    # Not editable: plug-ins are found by what is installed.
    commands.append([*install, "--no-deps", "--reinstall", str(place.checkout)])
    return commands
