"""The `metric-tracker` command, with one module for each sub-command.

Environments add commands through the entry-point group `openenv_kit.commands`. The module of such a
command is imported only when the command is run.
"""

from __future__ import annotations

from importlib.metadata import entry_points, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from openenv_kit.cli.audit import audit
from openenv_kit.cli.budgets import budgets
from openenv_kit.cli.certify import certify
from openenv_kit.cli.collect import collect
from openenv_kit.cli.common import report_usage_errors
from openenv_kit.cli.compare import compare
from openenv_kit.cli.drift import drift
from openenv_kit.cli.export import atif, export
from openenv_kit.cli.import_table import IMPORT_HELP, import_table
from openenv_kit.cli.investigate import investigate
from openenv_kit.cli.leaderboard import attestation_key, leaderboard, submit
from openenv_kit.cli.replay import replay
from openenv_kit.cli.seal import seal
from openenv_kit.cli.sealed_record import sealed_record
from openenv_kit.cli.signal import signal

COMMAND_ENTRY_POINTS = "openenv_kit.commands"
COMMANDS = (
    certify,
    audit,
    replay,
    compare,
    signal,
    submit,
    leaderboard,
    seal,
    attestation_key,
    sealed_record,
    collect,
    export,
    atif,
    budgets,
    investigate,
    drift,
)
"""The kit's commands, in the order in which the help lists them. `import` follows at the end."""


class PluginCommandGroup(TyperGroup):
    """Command group that also contains the commands of installed environments.

    Parameters are typed as `Any` where typer defines the type in a private module.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        added = [entry_point.name for entry_point in entry_points(group=COMMAND_ENTRY_POINTS)]
        return [*super().list_commands(ctx), *added]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        added = list(entry_points(group=COMMAND_ENTRY_POINTS, name=cmd_name))
        if not added:
            return None
        single_command_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single_command_app.command(cmd_name)(report_usage_errors()(added[0].load()))
        return typer.main.get_command(single_command_app)


app = typer.Typer(
    cls=PluginCommandGroup,
    name="metric-tracker",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    app.command()(report_usage_errors()(command))
app.command("import", help=IMPORT_HELP)(report_usage_errors()(import_table))


def _print_version_and_exit(is_requested: bool) -> None:
    if is_requested:
        typer.echo(version("openenv-metric-tracker-rl"))
        raise typer.Exit


@app.callback()
def handle_global_options(
    is_version_requested: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version_and_exit, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Certify, audit and inspect environments, and compare their players."""


def main() -> None:
    """Run `metric-tracker` with the command-line arguments."""
    app()
