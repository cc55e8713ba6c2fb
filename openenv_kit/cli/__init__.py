"""The `metric-tracker` command: one file for each sub-command, and those of the environment.

An environment's own `commands` are imported when they are run.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from openenv_kit.cli.atif import atif
from openenv_kit.cli.audit import audit
from openenv_kit.cli.bench_vector import bench_vector
from openenv_kit.cli.certify import certify
from openenv_kit.cli.check_integrations import check_integrations
from openenv_kit.cli.collect import collect
from openenv_kit.cli.common import chosen_environment
from openenv_kit.cli.compare import compare
from openenv_kit.cli.export import export
from openenv_kit.cli.leaderboard import leaderboard, submit
from openenv_kit.cli.replay import replay
from openenv_kit.cli.seal import seal


class Commands(TyperGroup):
    """The kit's commands, then those of the environment that ENVIRONMENT names."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *chosen_environment(None).commands]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        place = None if found else chosen_environment(None).commands.get(cmd_name)
        if place is None:
            return found
        module, _, function = place.partition(":")
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(cmd_name)(getattr(import_module(module), function))
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=Commands,
    name="metric-tracker",
    help="Certify, benchmark and inspect Metric Tracker RL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    *(certify, audit, bench_vector, replay, compare, submit, leaderboard, seal, collect),
    *(export, atif, check_integrations),
):
    app.command()(command)


def main() -> None:
    """Entry point of the console script."""
    app()
