"""Making a submission of recordings: what its card can say is read off the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from openenv_kit.environment import Environment
from openenv_kit.recordings.format import (
    RecordedRun,
    iter_recording_paths,
    read_recording_text,
    read_runs,
)
from openenv_kit.reset_arguments import get_extra_reset_arguments
from openenv_kit.results.submission_folder import (
    SubmissionCard,
    SubmissionError,
    parse_card,
)
from openenv_kit.trust.attestation import Attestation


def read_recordings(paths: Iterable[Path]) -> tuple[list[RecordedRun], str]:
    """Runs of some recordings and folders of recordings, and all their lines, in order of tasks."""
    found = []
    for path in iter_recording_paths(paths):
        runs = read_runs(path)
        if runs:
            found.append((runs[0].reset.get("index", 0), runs, read_recording_text(path)))
    found.sort(key=lambda each: each[0])
    return [run for _, runs, _ in found for run in runs], "".join(text for *_, text in found)


def card_of_runs(
    runs: Sequence[RecordedRun],
    environment: Environment,
    *,
    by: str,
    notes: str,
    commitment: str,
    attestation: Attestation | None = None,
) -> SubmissionCard:
    """The card of a player's runs.

    With an attestation the number of tasks and of tries are those that its server offered: plays
    that were not started or not finished have no run, and score 0.

    Raises:
        SubmissionError: they are not of one player, one split and one set of rules, or leave out
            a task.
    """
    if not runs:
        raise SubmissionError("These recordings hold no run.")
    first, tasks = runs[0], Counter[int]()
    for run in runs:
        if "split" not in run.reset or "index" not in run.reset:
            raise SubmissionError(f"A run was reset with {run.reset}, which is no task of a split.")
        for name, mine, one in (
            ("player", run.player, first.player),
            ("split", run.reset["split"], first.reset["split"]),
            ("reset", get_extra_reset_arguments(run.reset), get_extra_reset_arguments(first.reset)),
            ("versions", run.versions, first.versions),
        ):
            if mine != one:
                raise SubmissionError(
                    f"The runs are not of one {name}: {one!r} and {mine!r}; submit them apart."
                )
        tasks[run.reset["index"]] += 1
    if attestation:
        start, stop, tries = 0, attestation.task_count, attestation.plays_per_task
    else:
        start, stop, tries = min(tasks), max(tasks) + 1, max(tasks.values())
        for index in range(start, stop):
            if tasks[index] != tries:
                raise SubmissionError(
                    f"Task {first.reset['split']}-{index} has {tasks[index]} runs and others have "
                    f"{tries}; a submission plays each task as often."
                )
    return parse_card(
        {
            "player": first.player,
            "environment": environment.name,
            "split": first.reset["split"],
            "first": start,
            "count": stop - start,
            "tries": tries,
            "reset": get_extra_reset_arguments(first.reset),
            "versions": first.versions,
            "commitment": commitment or (attestation.commitment if attestation else ""),
            "by": by,
            "notes": notes,
        }
    )
