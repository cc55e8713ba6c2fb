"""Generated parts about programs and what they read: commands, settings, the leaderboard."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import typer

from docs.generate.examples import table
from openenv_kit.agent.command_line import parse_options
from openenv_kit.cli import app
from openenv_kit.results.leaderboard_site import group_into_boards
from openenv_kit.results.statistics import MeanInterval
from openenv_kit.results.submissions import CARD_FILENAME, read_submission
from openenv_kit.serving.app import main as serve
from openenv_kit.serving.settings import Settings

SUBMISSIONS = Path(__file__).parents[2] / "submissions"


def commands() -> str:
    """Every program with its options."""
    group = typer.main.get_command(app)
    context = typer.Context(group)
    assert isinstance(group, typer.core.TyperGroup)
    parts = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        rows = [
            [f"`{each.name.upper() if not each.opts[0].startswith('-') else each.opts[0]}`", text]
            for each in command.params
            if each.name and (text := " ".join((getattr(each, "help", "") or "").split()))
        ]
        about = inspect.cleandoc(command.help or "")
        parts.append(
            f"### metric-tracker {name}\n\n{about}\n\n{table(['option', 'meaning'], rows)}"
        )
    for name, program in (("inference.py", parse_options), ("server", serve)):
        parts.append(f"### {name}\n\n```text\n{_help(program)}\n```")
    return "\n\n".join(parts)


def _help(program: Callable[[list[str]], object]) -> str:
    printed = io.StringIO()
    with (
        patch.dict(os.environ, COLUMNS="100"),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        program(["--help"])
    return printed.getvalue().strip()


def settings() -> str:
    """Table of the server's settings."""
    rows = []
    properties = Settings.model_json_schema()["properties"]
    for field in Settings.model_fields.values():
        shown = "" if field.default in ("", ()) else f"`{str(field.default).lower()}`"
        extra = field.json_schema_extra
        scope = extra.get("scope", "server") if isinstance(extra, dict) else "server"
        meaning = " ".join((field.description or "").split())
        schema = properties[field.validation_alias]
        limits = f"{schema['minimum']} to {schema['maximum']}" if "minimum" in schema else ""
        rows.append([f"`{field.validation_alias}`", shown, limits, str(scope), meaning])
    return table(["variable", "default", "range", "for", "meaning"], rows)


def leaderboard() -> str:
    """A table for each board of this repository's submissions, the best player first."""
    parts = []
    read = [read_submission(path.parent) for path in SUBMISSIONS.glob(f"*/{CARD_FILENAME}")]
    for board in group_into_boards(read):
        card, rows = board.card, []
        for submission, found in board.entries:
            interval = found.interval or MeanInterval(0.0, 0.0, 0.0)
            player, mean = submission.card.player, f"{found.mean or 0.0:.3f}"
            rows.append(
                [
                    player,
                    mean,
                    f"{interval.ci_low:.3f} to {interval.ci_high:.3f}",
                    submission.card.notes,
                ]
            )
        parts.append(f"## {board.environment.title}\n\nSplit `{card.split}`, {card.count} tasks.")
        parts.append(table(["player", "mean score", "95 % interval", "notes"], rows, "lrll"))
    return "\n\n".join(parts)


SECTIONS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "settings": settings,
    "leaderboard": leaderboard,
}
