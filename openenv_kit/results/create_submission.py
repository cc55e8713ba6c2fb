"""Creates a submission's card from recorded runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from openenv_kit.environment import Environment
from openenv_kit.recordings.format import (
    RecordedRun,
    iter_recording_paths,
    read_recording_text,
    read_runs,
)
from openenv_kit.reset_arguments import drop_task_selectors
from openenv_kit.results.submission_folder import (
    OWN_PRODUCTS_REFUSED,
    SubmissionCard,
    SubmissionError,
    is_own_product_run,
    validate_submission_card,
)
from openenv_kit.trust.attestation import Attestation


class RecordedRuns(NamedTuple):
    """Runs from one or more recordings, and the content of these files as JSON Lines."""

    runs: list[RecordedRun]
    text: str


def read_recordings_in_task_order(paths: Iterable[Path]) -> RecordedRuns:
    """Read recordings and folders of recordings, and sort them by the task of their first run."""
    recordings = []
    for path in iter_recording_paths(paths):
        runs = read_runs(path)
        if runs:
            recordings.append(RecordedRuns(runs, read_recording_text(path)))
    recordings.sort(key=lambda recording: recording.runs[0].reset.get("index", 0))
    return RecordedRuns(
        [run for recording in recordings for run in recording.runs],
        "".join(recording.text for recording in recordings),
    )


def build_submission_card(
    runs: Sequence[RecordedRun],
    environment: Environment,
    *,
    by: str,
    notes: str,
    commitment: str,
    attestation: Attestation | None = None,
    date: str = "",
) -> SubmissionCard:
    """Create the submission card for a player's runs.

    With an attestation, the card states the numbers of tasks and tries that the server offered.
    Rollouts that the player did not start or did not finish have no run and score 0.

    Args:
        runs: the runs, all by one player on one split.
        environment: environment of the runs.
        by: person or group that submits.
        notes: remarks, shown on the leaderboard.
        commitment: published commitment to the sealed split; empty to use the attestation's value.
        attestation: the server's signed record of sealed play.
        date: ISO date of the submission; empty for no date.

    Raises:
        SubmissionError: a run was played on a product of a user's own table, the runs differ in
            player, split, reset arguments or versions, or the tasks do not all have the same number
            of runs.
    """
    if not runs:
        raise SubmissionError("The recordings contain no run.")
    first = runs[0]
    for run in runs:
        _require_split_task_and_same_setup(run, first)
    if attestation:
        start, count, tries = 0, attestation.task_count, attestation.plays_per_task
    else:
        run_counts = Counter(run.reset["index"] for run in runs)
        start, count = min(run_counts), max(run_counts) + 1 - min(run_counts)
        tries = max(run_counts.values())
        for index in range(start, start + count):
            if run_counts[index] != tries:
                raise SubmissionError(
                    f"Task {first.reset['split']}-{index} has {run_counts[index]} runs and others "
                    f"have {tries}; every task of a submission needs the same number of runs."
                )
    return validate_submission_card(
        {
            "player": first.player,
            "environment": environment.name,
            "split": first.reset["split"],
            "first": start,
            "count": count,
            "tries": tries,
            "reset": drop_task_selectors(first.reset),
            "versions": first.versions,
            "commitment": commitment or (attestation.commitment if attestation else ""),
            "by": by,
            "notes": notes,
            "date": date,
        }
    )


def _require_split_task_and_same_setup(run: RecordedRun, first_run: RecordedRun) -> None:
    if is_own_product_run(run):
        raise SubmissionError(f"{run.task_name}: {OWN_PRODUCTS_REFUSED}")
    if "split" not in run.reset or "index" not in run.reset:
        raise SubmissionError(
            f"A run was reset with {run.reset}; a submission needs a split and an index."
        )
    setup, expected_setup = (
        _get_player_split_reset_and_versions(run),
        _get_player_split_reset_and_versions(first_run),
    )
    for name, expected in expected_setup.items():
        if setup[name] != expected:
            raise SubmissionError(
                f"The runs are not of one {name}: {expected!r} and {setup[name]!r}; submit them "
                "separately."
            )


def _get_player_split_reset_and_versions(run: RecordedRun) -> Mapping[str, Any]:
    return {
        "player": run.player,
        "split": run.reset["split"],
        "reset": drop_task_selectors(run.reset),
        "versions": run.versions,
    }
