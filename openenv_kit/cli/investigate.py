"""`metric-tracker investigate`: lets a policy or a model investigate a window of a user's table."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from openenv_kit.agent.command_line import DEFAULT_POLICY
from openenv_kit.agent.play_session import play_session
from openenv_kit.agent.players import Player, ScriptedPlayer
from openenv_kit.agent.settings import AgentSettings, load_settings
from openenv_kit.cli.common import EnvironmentOption
from openenv_kit.cli.table_options import with_table_options
from openenv_kit.cli.table_output import (
    TableExitCode,
    is_person_present,
    print_lines,
    print_table_description,
    report_refusals,
)
from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError, require_name
from openenv_kit.own_data.agreement_lines import iter_agreement_lines
from openenv_kit.own_data.options import ImportOptions
from openenv_kit.own_data.product_argument import require_own_data
from openenv_kit.own_data.support import (
    Agreement,
    InvestigatedRow,
    Investigation,
    InvestigationRequest,
    SummaryLine,
)
from openenv_kit.own_data.write_files import (
    PRIVATE_MODE,
    OutputFile,
    refuse_overwriting_inputs,
    write_files,
)
from openenv_kit.rollouts.run_policy import StartedSession

MIN_DAYS = 28
"""Smallest number of days of the table."""
OPENAI_HOST = "api.openai.com"
"""Host that the model client uses if no address is set."""


@with_table_options
def investigate(
    options: ImportOptions,
    product: Annotated[Path, typer.Option(help="Product file that `import` wrote.")],
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="First day of the window. Default: the window ends with the table.",
        ),
    ] = None,
    weeks: Annotated[int, typer.Option(help="Number of weeks: 4 or 8.")] = 4,
    policy: Annotated[
        str | None, typer.Option(help="Scripted policy that investigates. Default: reference.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model that investigates instead of a policy, with the settings of inference.py."
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Set of tools: standard or lean. Default: standard.")
    ] = None,
    play: Annotated[
        bool,
        typer.Option("--play", help="Investigate yourself, on a page of this machine."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="CSV file to write, with the rows of both reports."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send your numbers to the model without asking.")
    ] = False,
    environment: EnvironmentOption = None,
) -> None:
    """Investigate a window of your table with the tools of the tasks, and print the reported rows.

    Exit codes: 0 done, 2 table or option rejected, 3 no report was submitted.
    """
    with report_refusals():
        environment_object = get_environment(environment)
        own_data = require_own_data(environment_object)
        if policy and model:
            raise ConfigurationError("--policy and --model cannot be used together; pass one.")
        if play and (policy or model or out):
            raise ConfigurationError(
                "--play cannot be used together with --policy, --model or --out."
            )
        if out is not None:
            refuse_overwriting_inputs((out,), (*options.input_files, product))
            if out.exists() and not force:
                raise ConfigurationError(f"{out.name} already exists; pass --force to overwrite.")
        player = _choose_player(environment_object, policy, model, skip_question=yes)
        from openenv_kit.own_data.check_days import TableLimits
        from openenv_kit.own_data.clean_table import load_table

        table = load_table(options, TableLimits(min_days=MIN_DAYS))
        print_table_description(table)
        request = InvestigationRequest(
            start=None if start is None else start.date(), weeks=weeks, profile=profile
        )
        investigation = own_data.start_investigation(table, product, request)
        if play:
            _serve_page(
                environment_object, f"{_name_source(options)}: {investigation.title}", investigation
            )
            raise typer.Exit(TableExitCode.DONE)
        started = investigation.start_session()
        stop_reason = asyncio.run(_play(environment_object, player, started))
        agreement = investigation.compare_report(started.session)
        print_lines([SummaryLine("Window", investigation.title)])
        print_lines(SummaryLine("Note", note) for note in investigation.notes)
        print_lines(iter_agreement_lines(agreement, player.name, stop_reason))
        if out is not None:
            write_files([OutputFile(out, format_rows_csv(agreement), PRIVATE_MODE)])
            print_lines([SummaryLine("Wrote", f"{out} (contains your numbers)")])
    has_report = agreement.score is not None
    raise typer.Exit(TableExitCode.DONE if has_report else TableExitCode.NEEDS_ATTENTION)


def _name_source(options: ImportOptions) -> str:
    source = options.table or options.database
    return source.name if source else "table"


def _serve_page(environment: Environment, title: str, investigation: Investigation) -> None:
    """Print the address of a page that offers an investigation, and serve it until Ctrl+C."""
    from openenv_kit.page.your_data.local_page import OfferedInvestigation, build_local_page

    page = build_local_page(environment, OfferedInvestigation(title, investigation))
    print_lines([SummaryLine("Page", "only this machine can open it; Ctrl+C ends it")])
    typer.echo(page.address)  # not wrapped, so that the address can be copied
    page.serve()


def format_rows_csv(agreement: Agreement) -> str:
    """Format all rows as CSV. The column `found_by` is `both`, `player` or `policy`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["found_by", *InvestigatedRow._fields])
    for found_by, rows in (
        ("both", agreement.both),
        ("player", agreement.only_player),
        ("policy", agreement.only_policy),
    ):
        writer.writerows([found_by, *row] for row in rows)
    return stream.getvalue()


async def _play(environment: Environment, player: Player, started: StartedSession) -> str:
    """Play the episode and return the reason why the player stopped early; empty if it did not."""
    try:
        episode = await play_session(environment, player, started)
        return episode.stop_reason
    finally:
        await player.close()


def _choose_player(
    environment: Environment, policy: str | None, model: str | None, *, skip_question: bool
) -> Player:
    if model is None:
        name = require_name("policy", policy or DEFAULT_POLICY, environment.policies)
        return ScriptedPlayer(environment.policies[name])
    settings = load_settings(default_benchmark=environment.name)
    settings = settings.model_copy(update={"model": model})
    if settings.api_key is None and not settings.is_local_model:
        raise ConfigurationError(
            "--model needs an API key, unless its endpoint is on this machine."
        )
    if not (skip_question or settings.is_local_model):
        _ask_before_numbers_leave(settings)
    from openenv_kit.agent.model_player import ModelPlayer  # imports openai, which is slow

    return ModelPlayer(settings)


def _ask_before_numbers_leave(settings: AgentSettings) -> None:
    """Ask whether numbers of the table may be sent to the host of the model.

    Raises:
        ConfigurationError: standard input is not a terminal.
        typer.Abort: the answer is no.
    """
    host = urlsplit(settings.api_base_url or "").hostname or OPENAI_HOST
    if not is_person_present():
        raise ConfigurationError(
            f"Numbers of your table would be sent to {host}; pass --yes to confirm."
        )
    typer.confirm(f"Send numbers of your table to {host}?", abort=True)
