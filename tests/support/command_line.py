"""Runs commands of `metric-tracker` in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from openenv_kit.cli import app


def run_cli(*arguments: object, input: str | None = None) -> Result:
    """Return the exit code and output of a command with these arguments and this input."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)
