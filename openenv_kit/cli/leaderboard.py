"""`metric-tracker leaderboard` and `submit`: runs that anybody can check, and their site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from openenv_kit.cli.common import EnvironmentName
from openenv_kit.cli.compare import WIDTH, summary_table
from openenv_kit.environment import get_environment


def leaderboard(
    folder: Annotated[
        Path, typer.Argument(help="Folder of submissions.", exists=True, file_okay=False)
    ],
    site: Annotated[
        Path | None,
        typer.Option(help="Write a static site of the valid submissions into this folder."),
    ] = None,
) -> None:
    """Check every submission of a folder by replaying its runs; fails if one is invalid."""
    from openenv_kit.results.site import boards_of, write_site
    from openenv_kit.results.submissions import (
        CARD,
        SubmissionError,
        problems_of,
        read_submission,
    )

    found = sorted(path.parent for path in folder.glob(f"*/{CARD}"))
    if not found:
        raise typer.BadParameter(f"{folder} holds no submission: no folder with a {CARD}")
    held, refused = [], {}
    for path in track(found, "Playing again", console=Console(stderr=True)):
        try:
            submission = read_submission(path)
            problems = list(problems_of(submission))
        except SubmissionError as problem:
            problems = [str(problem)]
        if problems:
            refused[path.name] = problems
        else:
            held.append(submission)
    console = Console(width=WIDTH)
    boards = boards_of(held)
    for board in boards:
        card = board.card
        title = f"{card.environment}, {card.split}, {card.count} tasks from {card.first} on"
        console.print(summary_table(title, [each for _, each in board.entries]))
    for name, problems in refused.items():
        console.print(f"{name} is refused:", style="red", highlight=False)
        for each in problems:
            console.print(f"  {each}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(held)} submissions hold, {len(refused)} are refused.", highlight=False)
    if site is not None:
        console.print(f"Site: {write_site(boards, site)}")
    raise typer.Exit(1 if refused else 0)


def submit(
    recordings: Annotated[
        list[Path],
        typer.Argument(help="Recordings (inference.py --record), or folders of them.", exists=True),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write, such as submissions/NAME.")],
    by: Annotated[str, typer.Option(help="Who submits it.")] = "",
    notes: Annotated[str, typer.Option(help="Remarks, shown on the leaderboard.")] = "",
    commitment: Annotated[
        str, typer.Option(help="Commitment to the sealed split, as published before it was played.")
    ] = "",
    environment: EnvironmentName = None,
) -> None:
    """Put a player's recorded runs into a folder that `leaderboard` can check."""
    from openenv_kit.results.packing import card_of, recorded
    from openenv_kit.results.submissions import write_submission

    chosen = get_environment(environment)
    runs, text = recorded(recordings)
    card = card_of(runs, chosen, by=by, notes=notes, commitment=commitment)
    write_submission(out, card, text)
    typer.echo(
        f"{out}: {len(runs)} runs of {card.player} on {card.split}, tasks {card.first} to "
        f"{card.first + card.count - 1}, {card.tries} of each."
    )
