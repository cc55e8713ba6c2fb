"""Compares a submission with the server's signed record of its sealed rollouts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from openenv_kit.errors import MAX_REPR_CHARACTERS, truncated_repr
from openenv_kit.recordings.format import RecordedRun
from openenv_kit.reset_arguments import drop_task_selectors
from openenv_kit.results.submission_folder import ATTESTATION_FILENAME, Submission
from openenv_kit.splits import SEALED_SPLIT
from openenv_kit.trust.attestation import (
    Attestation,
    AttestationError,
    AttestedEpisode,
    compute_actions_digest,
    verify_attestation,
)
from openenv_kit.variables import PUBLIC_KEY_VARIABLE


def verify_attestation_token(token: str, public_key: Ed25519PublicKey | None) -> Attestation:
    """Verify the signature of a submission's attestation and return the signed record.

    Raises:
        AttestationError: `public_key` is None, or it does not verify the record's signature.
    """
    if public_key is None:
        raise AttestationError(
            f"{ATTESTATION_FILENAME} cannot be checked: set {PUBLIC_KEY_VARIABLE} to the public "
            "key of the server that signed it."
        )
    return verify_attestation(token, public_key)


def find_attestation_problems(submission: Submission, attestation: Attestation) -> Iterator[str]:
    """Yield a sentence for each difference between a submission and the server's signed record."""
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
        yield (
            f"{ATTESTATION_FILENAME} is for the split {card.split}; only {SEALED_SPLIT} rollouts "
            "are attested."
        )
    unmatched: defaultdict[_EpisodeKey, list[int]] = defaultdict(list)
    for number, run in enumerate(submission.runs, start=1):
        unmatched[_episode_key_of_run(run)].append(number)
    for play in attestation.plays:
        run_numbers = unmatched.get(_episode_key_of_attested_episode(play))
        if run_numbers:
            run_numbers.pop(0)
        elif play.is_finished:  # An unfinished rollout scores 0 and needs no run.
            yield (
                f"Play {play.number} of {attestation.player!r}, {card.split}-{play.index} with "
                f"score {play.score}, is in the server's record but not among the runs."
            )
    for number in sorted(number for numbers in unmatched.values() for number in numbers):
        task = submission.runs[number - 1].task_name
        shown_task = task[:MAX_REPR_CHARACTERS]
        yield f"Run {number}, {shown_task}: not in the record that the server signed."


@dataclass(frozen=True)
class _EpisodeKey:
    """Values that must be equal in a recorded run and in the server's record of the run."""

    index: int
    reset_json: str
    step_count: int
    score: float | None
    actions_digest: str


def _episode_key_of_attested_episode(attested_episode: AttestedEpisode) -> _EpisodeKey:
    return _EpisodeKey(
        index=attested_episode.index,
        reset_json=json.dumps(attested_episode.reset, sort_keys=True),
        step_count=attested_episode.steps,
        score=attested_episode.score,
        actions_digest=attested_episode.actions_digest,
    )


def _episode_key_of_run(run: RecordedRun) -> _EpisodeKey:
    return _EpisodeKey(
        index=run.reset.get("index", 0),
        reset_json=json.dumps(drop_task_selectors(run.reset), sort_keys=True),
        step_count=len(run.steps),
        score=run.score,
        actions_digest=compute_actions_digest(step.action for step in run.steps),
    )
