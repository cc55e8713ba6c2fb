"""`metric-tracker check-integrations`: each trainer plays, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from metric_tracker_rl.errors import UnknownNameError

ENGINE = ("numpy", "pandas", "pydantic", "rich", "typer")
"""What the engine and the adapters need; the server's own requirements stay out, because some
trainers want other versions of them."""
TESTING = ("pytest", "pytest-asyncio")
LEFT_OUT = "left out"
"""A trainer that wants a Python which is not here, in a run that did not ask for it by name."""


@dataclass(frozen=True)
class Integration:
    """One trainer.

    Attributes:
        name: identifier; its check is `tests/integrations/check_<name>.py`.
        requirements: what to install.
        first: installed before, by pip itself: a build of a library that others would replace
            by a much larger one.
        python: Python to make the environment with; None for this one's version.
    """

    name: str
    requirements: tuple[str, ...]
    first: tuple[str, ...] = ()
    python: str | None = None
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
        Integration("nemo_gym", ("nemo-gym>=0.7,<0.8", "httpx", "pyyaml"), python=">=3.13.14"),
    )
}


def check_integrations(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(INTEGRATIONS)}. Default: all.")
    ] = None,
    environments: Annotated[
        Path, typer.Option(help="Folder for the environments, kept for the next time.")
    ] = Path(".integrations"),
    checkout: Annotated[Path, typer.Option(help="Checkout of this project.")] = Path(),
) -> None:
    """Make an environment for each trainer with uv, install it, and run its check there.

    A trainer that needs a Python which is not here is left out of a run of all, and said so;
    asked for by name, it fails the run.
    """
    console = Console()
    for name in names or ():
        if name not in INTEGRATIONS:
            raise typer.BadParameter(str(UnknownNameError("integration", name, INTEGRATIONS)))
    table = Table(title="Trainers, each in an environment of its own")
    for title in ("trainer", "result", "seconds"):
        table.add_column(title)
    failed = False
    for name in names or INTEGRATIONS:
        started = time.perf_counter()
        with Console(stderr=True).status(f"{name}: installing and checking"):
            result, output = _check(INTEGRATIONS[name], environments.resolve(), checkout.resolve())
        table.add_row(name, result, f"{time.perf_counter() - started:.0f}")
        left_out = result.startswith(LEFT_OUT) and not names
        if not result.endswith("passed") and not left_out:
            failed = True
            console.print(output, markup=False, highlight=False)
    console.print(table)
    raise typer.Exit(1 if failed else 0)


def _check(integration: Integration, environments: Path, checkout: Path) -> tuple[str, str]:
    """Result in a few words, and everything that was printed."""
    folder = environments / integration.name
    python = folder / "bin" / "python"
    if integration.python and not python.exists() and not _found(integration.python):
        return f"{LEFT_OUT}: no Python {integration.python} here", ""
    for command in _setup(integration, folder, python, checkout):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return "not installed", done.stdout + done.stderr
    check = checkout / "tests" / "integrations" / f"check_{integration.name}.py"
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, check],
        cwd=check.parent,
        env={**os.environ, **integration.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    last = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
    # pytest's exit code 5 is a check that ran no test.
    result = f"{last.split(' in ')[0].split(',')[0]}" if done.returncode == 0 else "failed"
    return result, done.stdout + done.stderr


def _found(python: str) -> bool:
    """Whether uv finds such a Python, or can fetch one."""
    command = ["uv", "python", "find", "--no-project", python]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return True
    install = ["uv", "python", "install", python]
    return subprocess.run(install, capture_output=True, check=False).returncode == 0


def _setup(integration: Integration, folder: Path, python: Path, checkout: Path) -> list[list[str]]:
    wanted = integration.python or f"{sys.version_info.major}.{sys.version_info.minor}"
    install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    commands = []
    if not python.exists():
        commands.append(["uv", "venv", "--quiet", "--seed", "--python", wanted, str(folder)])
    if integration.first:
        commands.append([str(python), "-m", "pip", "install", "--quiet", *integration.first])
    commands.append([*install, *integration.requirements, *ENGINE, *TESTING])
    # Not editable: plug-ins are found by what is installed.
    commands.append([*install, "--no-deps", "--reinstall", str(checkout)])
    return commands
