"""`metric-tracker leaderboard`, `submit` and `attestation-key`: check and write submissions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from openenv_kit.cli.common import Column, EnvironmentOption, build_item_table, exit_with_result
from openenv_kit.cli.compare import TABLE_WIDTH, build_summary_columns
from openenv_kit.environment import get_environment
from openenv_kit.results.submissions import MIN_TASKS
from openenv_kit.trust.attestation import (
    format_public_key,
    parse_public_key,
    read_signing_key,
    verify_attestation,
)
from openenv_kit.variables import PUBLIC_KEY_VARIABLE

if TYPE_CHECKING:
    from openenv_kit.results.leaderboard_site import Leaderboard, LeaderboardEntry
    from openenv_kit.results.player_summary import PlayerSummary
    from openenv_kit.results.submissions import CheckedSubmission

EVIDENCE_LABEL_WIDTH = 16
"""Width of the column `verification`, in characters."""
MAX_PRINTED_PROBLEMS = 20
"""Maximum number of problems that are printed for a submission."""
PublicKeyOption = Annotated[
    str,
    typer.Option(
        envvar=PUBLIC_KEY_VARIABLE,
        help="Public key of the server that signs records of sealed rollouts.",
    ),
]


def leaderboard(
    folder: Annotated[
        Path, typer.Argument(help="Folder of submissions.", exists=True, file_okay=False)
    ],
    site: Annotated[
        Path | None,
        typer.Option(
            help="Write a static site of the valid submissions, and board.json, to this folder."
        ),
    ] = None,
    min_tasks: Annotated[
        int,
        typer.Option(
            min=1, help="Minimum tasks of a submission; for a split with fewer, all of them."
        ),
    ] = MIN_TASKS,
    public_key: PublicKeyOption = "",
) -> None:
    """Check every submission in a folder by replaying its runs. Fails if one is invalid."""
    from openenv_kit.results.board_file import BOARD_FILENAME, write_board_file
    from openenv_kit.results.leaderboard_site import group_into_boards, write_leaderboard_site
    from openenv_kit.results.submissions import replay_and_check_submission

    key = parse_public_key(public_key) if public_key else None
    checked = [
        replay_and_check_submission(path, key, min_tasks)
        for path in track(
            _find_submission_subfolders(folder), "Replaying", console=Console(stderr=True)
        )
    ]
    valid = [result.submission for result in checked if result.submission and not result.problems]
    invalid = [result for result in checked if result.problems]
    console = Console(width=TABLE_WIDTH + EVIDENCE_LABEL_WIDTH)
    boards = group_into_boards(valid)
    for board in boards:
        console.print(_build_leaderboard_table(board))
    for result in invalid:
        _print_first_submission_problems(console, result)
    console.print(f"{len(valid)} valid submissions, {len(invalid)} invalid.", highlight=False)
    if site is not None:
        console.print(f"Site: {write_leaderboard_site(boards, site)}", markup=False)
        write_board_file(boards, site / BOARD_FILENAME)
    exit_with_result(has_failed=bool(invalid))


def submit(
    recordings: Annotated[
        list[Path],
        typer.Argument(help="Recordings (inference.py --record), or folders of them.", exists=True),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write, such as submissions/NAME.")],
    by: Annotated[str, typer.Option(help="Person or group that submits.")] = "",
    notes: Annotated[str, typer.Option(help="Remarks, shown on the leaderboard.")] = "",
    commitment: Annotated[
        str, typer.Option(help="Commitment to the sealed split that was published beforehand.")
    ] = "",
    attestation: Annotated[
        Path | None,
        typer.Option(
            help="The server's signed record of your sealed rollouts.", exists=True, dir_okay=False
        ),
    ] = None,
    public_key: PublicKeyOption = "",
    environment: EnvironmentOption = None,
) -> None:
    """Write a player's recorded runs to a folder that `leaderboard` can check."""
    from openenv_kit.results.create_submission import (
        build_submission_card,
        read_recordings_in_task_order,
    )
    from openenv_kit.results.submission_folder import write_submission

    token, record = "", None
    if attestation is not None:
        if not public_key:
            raise typer.BadParameter("--attestation needs --public-key, the key of its server")
        token = attestation.read_text(encoding="utf-8")
        record = verify_attestation(token, parse_public_key(public_key))
    recorded = read_recordings_in_task_order(recordings)
    card = build_submission_card(
        recorded.runs,
        get_environment(environment),
        by=by,
        notes=notes,
        commitment=commitment,
        attestation=record,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
    )
    write_submission(out, card, recorded.text, token)
    typer.echo(
        f"{out}: {len(recorded.runs)} runs of {card.player} on {card.split}, tasks {card.first} to "
        f"{card.first + card.count - 1}, {card.tries} of each."
    )
    if card.count < MIN_TASKS:
        typer.echo(f"By default, the leaderboard requires at least {MIN_TASKS} tasks.")


def attestation_key() -> None:
    """Print the public key that belongs to the secret in OPENENV_KIT_ATTESTATION_KEY."""
    typer.echo(format_public_key(read_signing_key().public_key()))


def _find_submission_subfolders(folder: Path) -> list[Path]:
    """Return the folders that contain a submission, sorted by name.

    Raises:
        typer.BadParameter: the folder contains no submission.
    """
    from openenv_kit.results.submissions import CARD_FILENAME, RUNS_FILENAME

    paths = [*folder.glob(f"*/{CARD_FILENAME}"), *folder.glob(f"*/{RUNS_FILENAME}")]
    if not paths:
        raise typer.BadParameter(
            f"{folder} contains no submission: no folder with a {CARD_FILENAME}"
        )
    return sorted({path.parent for path in paths})


def _build_leaderboard_table(board: Leaderboard) -> Table:
    card = board.card
    player, *figures = build_summary_columns([entry.summary for entry in board.entries])
    columns: list[Column[LeaderboardEntry]] = [
        _convert_to_entry_column(player),
        Column("verification", lambda entry: entry.evidence_label, is_text=True),
        *map(_convert_to_entry_column, figures),
    ]
    title = f"{card.environment}, {card.split}, {card.count} tasks from {card.first} on"
    table = build_item_table(title, columns, board.entries)
    # Long player names wrap; the verification stays on one line.
    table.columns[0].overflow = "fold"
    table.columns[1].no_wrap = True
    return table


def _convert_to_entry_column(column: Column[PlayerSummary]) -> Column[LeaderboardEntry]:
    return Column(column.title, lambda entry: column.format_cell(entry.summary), column.is_text)


def _print_first_submission_problems(console: Console, result: CheckedSubmission) -> None:
    # Names and problems come from the submission, so they are printed without markup.
    name = result.name if result.name.isprintable() else repr(result.name)
    console.print(f"{name} is invalid:", style="red", markup=False, highlight=False)
    for problem in result.problems[:MAX_PRINTED_PROBLEMS]:
        console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
    omitted_count = len(result.problems) - MAX_PRINTED_PROBLEMS
    if omitted_count > 0:
        console.print(f"  … and {omitted_count} more.", highlight=False)
