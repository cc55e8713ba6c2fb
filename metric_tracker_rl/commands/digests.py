"""`metric-tracker digests`: compare the generator with its golden file, or write the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from metric_tracker_rl.engine.generation.digests import GOLDEN

GOLDEN_FILE = Path("tests/golden_digests.json")


def digests(
    file: Annotated[Path, typer.Argument(help="The golden file.")] = GOLDEN_FILE,
    write: Annotated[
        bool, typer.Option("--write", help="Write the file; only for a new generator version.")
    ] = False,
) -> None:
    """Check that every golden episode still has the same bytes and labels."""
    if write:
        table = GOLDEN.table()
        file.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        typer.echo(f"{len(table['episodes'])} episodes written to {file}")
        return
    try:
        golden = json.loads(file.read_text(encoding="utf-8"))
        found = GOLDEN.differences(golden)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise typer.BadParameter(f"{file} is not a golden file: {problem}") from None
    for each in found:
        typer.echo(each, err=True)
    typer.echo(f"{len(golden['episodes'])} episodes, {len(found)} differences")
    raise typer.Exit(1 if found else 0)
