"""The `metric-tracker` command: one file for each sub-command, and those of the environment.

An environment adds commands of its own with an attribute `commands`: by name, where each one's
function is, as `module:function`. They are imported when they are run or listed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import typer
from typer.core import TyperGroup

from openenv_kit.cli.audit import audit
from openenv_kit.cli.bench_vector import bench_vector
from openenv_kit.cli.certify import certify
from openenv_kit.cli.check_integrations import check_integrations
from openenv_kit.cli.collect import collect
from openenv_kit.cli.common import chosen_environment
from openenv_kit.cli.replay import replay
from openenv_kit.cli.seal import seal


@runtime_checkable
class HasCommands(Protocol):
    """An environment with commands of its own."""

    @property
    def commands(self) -> dict[str, str]:
        """Where each one's function is, by name: `module:function`."""


def _commands() -> dict[str, str]:
    environment = chosen_environment(None)
    return environment.commands if isinstance(environment, HasCommands) else {}


class Commands(TyperGroup):
    """The kit's commands, then those of the environment that ENVIRONMENT names."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        place = None if found else _commands().get(cmd_name)
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
for command in (certify, audit, bench_vector, replay, seal, collect, check_integrations):
    app.command()(command)


def main() -> None:
    """Entry point of the console script."""
    app()
