"""`metric-tracker leaderboard` and `submit`: runs that anybody can check, and their site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from openenv_kit.cli.common import EnvironmentOption
from openenv_kit.cli.compare import TABLE_WIDTH, summary_table
from openenv_kit.environment import get_environment
from openenv_kit.results.submissions import MIN_TASKS
from openenv_kit.trust.attestation import (
    format_public_key,
    parse_public_key,
    read_signing_key,
    verify_attestation,
)
from openenv_kit.variables import PUBLIC_KEY_VARIABLE

LABEL_WIDTH = 16
"""Columns of the table that a row's label takes."""
MAX_PRINTED_PROBLEMS = 20
"""Most problems of a submission that are printed."""
PublicKeyOption = Annotated[
    str,
    typer.Option(
        envvar=PUBLIC_KEY_VARIABLE,
        help="Public key of the server that signs records of sealed play.",
    ),
]


def leaderboard(
    folder: Annotated[
        Path, typer.Argument(help="Folder of submissions.", exists=True, file_okay=False)
    ],
    site: Annotated[
        Path | None,
        typer.Option(help="Write a static site of the valid submissions into this folder."),
    ] = None,
    min_tasks: Annotated[
        int,
        typer.Option(
            min=1, help="Fewest tasks of a submission; of a split with fewer, all of them."
        ),
    ] = MIN_TASKS,
    public_key: PublicKeyOption = "",
) -> None:
    """Check every submission of a folder by replaying its runs; fails if one is invalid."""
    from openenv_kit.results.leaderboard_site import (
        attestation_label,
        group_into_boards,
        write_site,
    )
    from openenv_kit.results.submissions import CARD_FILENAME, RUNS_FILENAME, check_submission

    key = parse_public_key(public_key) if public_key else None
    found = sorted(
        {
            path.parent
            for name in (CARD_FILENAME, RUNS_FILENAME)
            for path in folder.glob(f"*/{name}")
        }
    )
    if not found:
        raise typer.BadParameter(f"{folder} holds no submission: no folder with a {CARD_FILENAME}")
    checked = [
        check_submission(path, key, min_tasks)
        for path in track(found, "Playing again", console=Console(stderr=True))
    ]
    held = [each.submission for each in checked if each.submission and not each.problems]
    refused = [each for each in checked if each.problems]
    console = Console(width=TABLE_WIDTH + LABEL_WIDTH)
    boards = group_into_boards(held)
    for board in boards:
        card = board.card
        title = f"{card.environment}, {card.split}, {card.count} tasks from {card.first} on"
        labels = [attestation_label(submission) for submission, _ in board.entries]
        console.print(summary_table(title, [each for _, each in board.entries], labels))
    for each in refused:
        name = each.name if each.name.isprintable() else repr(each.name)
        console.print(f"{name} is refused:", style="red", markup=False, highlight=False)
        for problem in each.problems[:MAX_PRINTED_PROBLEMS]:
            console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
        if (more := len(each.problems) - MAX_PRINTED_PROBLEMS) > 0:
            console.print(f"  … and {more} more.", highlight=False)
    console.print(f"{len(held)} submissions hold, {len(refused)} are refused.", highlight=False)
    if site is not None:
        console.print(f"Site: {write_site(boards, site)}", markup=False)
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
    attestation: Annotated[
        Path | None,
        typer.Option(
            help="Record of your sealed play, signed by its server.", exists=True, dir_okay=False
        ),
    ] = None,
    public_key: PublicKeyOption = "",
    environment: EnvironmentOption = None,
) -> None:
    """Put a player's recorded runs into a folder that `leaderboard` can check."""
    from openenv_kit.results.create_submission import card_of_runs, read_recordings
    from openenv_kit.results.submission_folder import write_submission

    chosen, token, record = get_environment(environment), "", None
    if attestation is not None:
        if not public_key:
            raise typer.BadParameter("--attestation needs --public-key, the key of its server")
        token = attestation.read_text(encoding="utf-8")
        record = verify_attestation(token, parse_public_key(public_key))
    runs, text = read_recordings(recordings)
    card = card_of_runs(runs, chosen, by=by, notes=notes, commitment=commitment, attestation=record)
    write_submission(out, card, text, token)
    typer.echo(
        f"{out}: {len(runs)} runs of {card.player} on {card.split}, tasks {card.first} to "
        f"{card.first + card.count - 1}, {card.tries} of each."
    )
    if card.count < MIN_TASKS:
        typer.echo(f"The leaderboard lists submissions of at least {MIN_TASKS} tasks by default.")


def attestation_key() -> None:
    """Print the public key of the secret in OPENENV_KIT_ATTESTATION_KEY, to publish it."""
    typer.echo(format_public_key(read_signing_key().public_key()))
