"""Compares a submission with the record of sealed play that its server signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from openenv_kit.errors import MAX_REPR_CHARACTERS, truncated_repr
from openenv_kit.recordings.format import RecordedRun
from openenv_kit.reset_arguments import get_extra_reset_arguments
from openenv_kit.results.submission_folder import ATTESTATION_FILENAME, Submission
from openenv_kit.splits import SEALED_SPLIT
from openenv_kit.trust.attestation import (
    Attestation,
    AttestationError,
    AttestedEpisode,
    digest_actions,
    verify_attestation,
)
from openenv_kit.variables import PUBLIC_KEY_VARIABLE


def verify_token(token: str, key: Ed25519PublicKey | None) -> Attestation:
    """Return the record in a submission's attestation file.

    Raises:
        AttestationError: no key is known, or the record was not signed with it.
    """
    if key is None:
        raise AttestationError(
            f"{ATTESTATION_FILENAME} cannot be checked: set {PUBLIC_KEY_VARIABLE} to the public "
            "key of the server that signed it."
        )
    return verify_attestation(token, key)


def find_attestation_problems(submission: Submission, attestation: Attestation) -> Iterator[str]:
    """Yield where the signed record differs from the card and the runs."""
    card = submission.card
    for name, stated, signed in (
        ("environment", card.environment, attestation.environment),
        ("split", card.split, attestation.split),
        ("versions", card.versions, attestation.versions),
        ("commitment", card.commitment, attestation.commitment),
        ("first", card.first, 0),
        ("count", card.count, attestation.task_count),
        ("tries", card.tries, attestation.plays_per_task),
    ):
        if stated != signed:
            yield (
                f"The card's {name} is {truncated_repr(stated)}; the server signed "
                f"{truncated_repr(signed)}."
            )
    if card.split != SEALED_SPLIT:
        yield f"{ATTESTATION_FILENAME} is of the split {card.split}; only sealed play is attested."
    unmatched: dict[_EpisodeKey, list[int]] = {}
    for number, run in enumerate(submission.runs, start=1):
        unmatched.setdefault(_key_of_run(run), []).append(number)
    for play in attestation.plays:
        runs = unmatched.get(_key_of_attested_episode(play))
        if runs:
            runs.pop(0)
        elif play.is_finished:  # an unfinished one scores 0 and needs no recording
            yield (
                f"Play {play.number} of {attestation.player!r}, {card.split}-{play.index} with "
                f"score {play.score}, is in the server's record and not among the runs."
            )
    for number in sorted(number for numbers in unmatched.values() for number in numbers):
        task = submission.runs[number - 1].task_name
        shown_task = task[:MAX_REPR_CHARACTERS]
        yield f"Run {number}, {shown_task}: not among the plays that the server signed."


@dataclass(frozen=True)
class _EpisodeKey:
    """What a recorded run and the server's record of it must have in common."""

    index: int
    reset: str
    steps: int
    score: float | None
    actions_digest: str


def _key_of_attested_episode(play: AttestedEpisode) -> _EpisodeKey:
    reset = json.dumps(play.reset, sort_keys=True)
    return _EpisodeKey(play.index, reset, play.steps, play.score, play.actions_digest)


def _key_of_run(run: RecordedRun) -> _EpisodeKey:
    reset, index = (
        json.dumps(get_extra_reset_arguments(run.reset), sort_keys=True),
        run.reset.get("index", 0),
    )
    digest = digest_actions(step.action for step in run.steps)
    return _EpisodeKey(index, reset, len(run.steps), run.score, digest)
