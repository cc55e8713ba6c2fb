"""Generates the documentation of commands and settings, and the leaderboard."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import typer

from docs.generate.examples import markdown_table
from openenv_kit.agent.command_line import parse_options
from openenv_kit.cli import app
from openenv_kit.results.leaderboard_site import group_into_boards
from openenv_kit.results.statistics import MeanInterval
from openenv_kit.results.submissions import CARD_FILENAME, read_submission
from openenv_kit.serving.app import main as serve
from openenv_kit.serving.settings import Settings

SUBMISSIONS = Path(__file__).parents[2] / "submissions"


def commands_markdown() -> str:
    """Return a section with the options of every program."""
    group = typer.main.get_command(app)
    context = typer.Context(group)
    assert isinstance(group, typer.core.TyperGroup)
    parts = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        rows = []
        for parameter in command.params:
            help_text = " ".join((getattr(parameter, "help", "") or "").split())
            if parameter.name and help_text:
                is_option = parameter.opts[0].startswith("-")
                shown_name = parameter.opts[0] if is_option else parameter.name.upper()
                rows.append([f"`{shown_name}`", help_text])
        description = inspect.cleandoc(command.help or "")
        options = markdown_table(["option", "meaning"], rows)
        parts.append(f"### metric-tracker {name}\n\n{description}\n\n{options}")
    for name, program in (("inference.py", parse_options), ("server", serve)):
        parts.append(f"### {name}\n\n```text\n{_help_text(program)}\n```")
    return "\n\n".join(parts)


def _help_text(program: Callable[[list[str]], object]) -> str:
    output = io.StringIO()
    with (
        patch.dict(os.environ, COLUMNS="100"),
        contextlib.redirect_stdout(output),
        contextlib.suppress(SystemExit),
    ):
        program(["--help"])
    return output.getvalue().strip()


def settings_table() -> str:
    """Return a table of the server's settings."""
    rows = []
    properties = Settings.model_json_schema()["properties"]
    for field in Settings.model_fields.values():
        default = "" if field.default in ("", ()) else f"`{str(field.default).lower()}`"
        extra = field.json_schema_extra
        scope = extra.get("scope", "server") if isinstance(extra, dict) else "server"
        meaning = " ".join((field.description or "").split())
        schema = properties[field.validation_alias]
        limits = f"{schema['minimum']} to {schema['maximum']}" if "minimum" in schema else ""
        rows.append([f"`{field.validation_alias}`", default, limits, str(scope), meaning])
    return markdown_table(["variable", "default", "range", "for", "meaning"], rows)


def leaderboard_markdown() -> str:
    """Return a table for each board of the repository's submissions, the best player first."""
    parts = []
    submissions = [read_submission(path.parent) for path in SUBMISSIONS.glob(f"*/{CARD_FILENAME}")]
    for board in group_into_boards(submissions):
        card, rows = board.card, []
        for submission, summary in board.entries:
            interval = summary.interval or MeanInterval(0.0, 0.0, 0.0)
            rows.append(
                [
                    submission.card.player,
                    f"{summary.mean or 0.0:.3f}",
                    f"{interval.ci_low:.3f} to {interval.ci_high:.3f}",
                    submission.card.notes,
                ]
            )
        parts.append(f"## {board.environment.title}\n\nSplit `{card.split}`, {card.count} tasks.")
        parts.append(
            markdown_table(["player", "mean score", "95 % interval", "notes"], rows, "lrll")
        )
    return "\n\n".join(parts)


SECTIONS: dict[str, Callable[[], str]] = {
    "commands": commands_markdown,
    "settings": settings_table,
    "leaderboard": leaderboard_markdown,
}
