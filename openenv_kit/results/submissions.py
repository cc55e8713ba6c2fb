"""Checks submissions by playing every run again.

The card of a submission states what its runs are. The check relies on none of it:
`check_submission` plays each run again and lists everything that is wrong. Replaying shows that
the scores were reached. It cannot show that no other attempts were left out, so a row counts as
attested only with the record that the server of the sealed split signed; see
`openenv_kit.trust.attestation`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import (
    MAX_REPR_CHARACTERS,
    ConfigurationError,
    UnknownNameError,
    require_name,
    truncated_repr,
)
from openenv_kit.recordings.format import RecordedRun
from openenv_kit.recordings.replay import iter_replayed_steps
from openenv_kit.reply import EVIDENCE_SHARE_KEY, EndInfo, ReplyStatus
from openenv_kit.reset_arguments import get_extra_reset_arguments
from openenv_kit.results.attested_episodes import find_attestation_problems, verify_token

# The names of the files' module are part of this module's interface.
from openenv_kit.results.submission_folder import CARD_FILENAME as CARD_FILENAME
from openenv_kit.results.submission_folder import RUNS_FILENAME as RUNS_FILENAME
from openenv_kit.results.submission_folder import SCRIPTED_PREFIX
from openenv_kit.results.submission_folder import Submission as Submission
from openenv_kit.results.submission_folder import SubmissionCard as SubmissionCard
from openenv_kit.results.submission_folder import SubmissionError as SubmissionError
from openenv_kit.results.submission_folder import read_submission as read_submission
from openenv_kit.results.submission_folder import write_submission as write_submission
from openenv_kit.rollouts.policies import PolicySteps as PolicySteps
from openenv_kit.splits import SEALED_SPLIT, HashedSplits
from openenv_kit.trust.attestation import digest_actions

MIN_TASKS = 20
"""Fewest tasks of a row, unless its split has fewer: with a few tasks, luck decides."""


@dataclass(frozen=True)
class CheckedSubmission:
    """What a check found in a folder.

    Attributes:
        submission: None where the folder could not be read.
        problems: everything that is wrong, one sentence each; empty for a valid submission.
    """

    name: str
    submission: Submission | None
    problems: Sequence[str]


def check_submission(
    folder: Path, key: Ed25519PublicKey | None = None, min_tasks: int = MIN_TASKS
) -> CheckedSubmission:
    """Read a folder and play its runs again. Any failure is a problem of this folder only.

    Args:
        folder: what was submitted.
        key: verifies the attestation; None where no key is known.
        min_tasks: fewest tasks, unless the split has fewer.
    """
    submission = None
    try:
        submission = read_submission(folder)
        if submission.attestation_token:
            submission = replace(
                submission, attestation=verify_token(submission.attestation_token, key)
            )
        problems = list(find_submission_problems(submission, min_tasks))
    except ConfigurationError as problem:
        problems = [str(problem)]
    except Exception as problem:  # what a stranger wrote must not end the check of the others
        problems = [f"The submission cannot be checked: {type(problem).__name__}."]
    return CheckedSubmission(folder.name, submission, problems)


def find_submission_problems(submission: Submission, min_tasks: int = MIN_TASKS) -> Iterator[str]:
    """Yield everything that is wrong with a submission, one sentence each.

    Every run is played again, with today's grader, unless an earlier step has shown that the runs
    are of another release or split.
    """
    card = submission.card
    try:
        environment = get_environment(card.environment)
        size = environment.splits.size(card.split)
    except UnknownNameError as problem:
        yield str(problem)
        return
    if card.first + card.count > size:
        yield f"The card asks for tasks {card.first} to {card.first + card.count - 1} of {size}."
        return
    if card.count < (least := min(min_tasks, size)):
        yield f"The card has {card.count} tasks; the leaderboard lists {least} or more."
    broken = [
        *_find_commitment_problems(card, environment),
        *_find_version_problems(submission, environment),
        *_find_name_problems(card, environment),
    ]
    yield from broken
    if submission.attestation is None:
        yield from _find_try_count_problems(submission)
        yield from _find_copied_runs(submission)
    else:
        yield from find_attestation_problems(submission, submission.attestation)
    if not broken:
        for number, run in enumerate(submission.runs, start=1):
            yield from (
                f"Run {number}, {run.task_name}: {found}"
                for found in _find_run_problems(run, card, environment)
            )


def _find_commitment_problems(card: SubmissionCard, environment: Environment) -> Iterator[str]:
    made, splits = "", environment.splits
    if card.split == SEALED_SPLIT and isinstance(splits, HashedSplits):
        try:
            made = splits.sealed_commitment()
        except ConfigurationError as problem:
            yield f"{card.split} cannot be played again: {problem}"
            return
    if made != card.commitment:
        said, here = card.commitment or "none", made or "none: it is not sealed"
        yield f"The card's commitment to {card.split} is {said}; that of this salt is {here}."


def _find_version_problems(submission: Submission, environment: Environment) -> Iterator[str]:
    card = submission.card
    now = dict(environment.versions)
    if card.versions != now:
        yield f"The card's versions are {card.versions}; these are {now}."
    for number, run in enumerate(submission.runs, start=1):
        if run.versions != now:
            yield f"Run {number}, {run.task_name}: played under {run.versions}; these are {now}."


def _find_name_problems(card: SubmissionCard, environment: Environment) -> Iterator[str]:
    """Yield what is wrong with a player's name that looks like a scripted policy's."""
    if card.is_scripted:
        try:
            require_name("policy", card.player.removeprefix(SCRIPTED_PREFIX), environment.policies)
        except UnknownNameError as problem:
            yield f"The player is {card.player!r}, which names no policy. {problem}"
    elif re.match(r"[\W_]*scripted\b", unicodedata.normalize("NFKC", card.player).casefold()):
        yield (
            f"The player is {card.player!r}; names that begin with 'scripted' are for the "
            f"environment's own policies, written {SCRIPTED_PREFIX}NAME."
        )


def _find_try_count_problems(submission: Submission) -> Iterator[str]:
    """Yield the tasks that were not played as often as the card states."""
    card = submission.card
    wanted = [f"{card.split}-{card.first + number}" for number in range(card.count)]
    played = Counter(run.task_name for run in submission.runs)
    for task in wanted:
        if played[task] != card.tries:
            yield f"Plays of {task}: {played[task]}; the card says {card.tries}."
    for task in sorted(played.keys() - set(wanted)):
        yield f"{task[:MAX_REPR_CHARACTERS]} is not among the card's tasks."


def _find_copied_runs(submission: Submission) -> Iterator[str]:
    """Yield the runs that repeat an earlier one.

    Times are the player's own, so they do not tell two plays with the same actions apart. Only a
    record that the server signed does.
    """
    first_runs: dict[str, int] = {}
    for number, run in enumerate(submission.runs, start=1):
        key = f"{run.task_name} {digest_actions(step.action for step in run.steps)}"
        first = first_runs.setdefault(key, number)
        if first != number:
            yield (
                f"Run {number}, {run.task_name}: a copy of run {first}, or a play with the same "
                "actions, which cannot be told from one. Submit one try of each task, or a record "
                "signed by the server of a sealed split."
            )


def _find_run_problems(
    run: RecordedRun, card: SubmissionCard, environment: Environment
) -> Iterator[str]:
    """Yield what is wrong with one run, whose versions are right."""
    if run.player != card.player:
        yield f"played by {truncated_repr(run.player)}; the card says {card.player!r}."
    further = get_extra_reset_arguments(run.reset)
    if further != get_extra_reset_arguments(card.reset):
        yield f"reset with {truncated_repr(further)}; the card says {truncated_repr(card.reset)}."
        return
    if "index" not in run.reset or run.reset.get("split") != card.split:
        yield (
            f"reset with {truncated_repr(run.reset)}; allowed: the split {card.split} and an index."
        )
        return
    if run.score is None:
        yield "it has no end."
        return
    score, grounded, done = 0.0, None, False
    policy_steps: PolicySteps | None = None
    expected: str | None = None
    for number, (action, answer, same) in enumerate(iter_replayed_steps(run, environment)):
        where = f"step {number}" if number else "the reset"
        if number:
            if done:
                yield f"{where} comes after the end of the episode."
                return
            recorded = run.steps[number - 1]
            same &= (recorded.status, recorded.reward, recorded.done) == _status_reward_done(answer)
            score = max(score, answer["reward"] or 0.0)
            grounded = EndInfo.from_info(answer.get("metadata")).evidence_share
            done = answer["done"]
        elif answer["status"] == ReplyStatus.ERROR:
            yield f"the reset is rejected: {answer['message']}"
            return
        if not same:
            yield f"the reply to {where} is not the recorded one."
            return
        if policy_steps and expected != _action_json(action):
            yield f"{where} is not what the policy {card.player!r} does."
            return
        if card.is_scripted and not done:
            policy_steps = policy_steps or _start_policy(card, environment, answer)
            expected = _next_action_json(policy_steps, answer if number else None)
    if policy_steps and not done and expected is not None:
        yield f"it ends before the policy {card.player!r} does."
    for name, said, made in (
        ("score", run.score, score),
        (EVIDENCE_SHARE_KEY, run.evidence_share, grounded),
    ):
        if said != made:
            yield f"its {name} is {said}; played again it is {made}."


def _start_policy(
    card: SubmissionCard, environment: Environment, reset_observation: Mapping[str, Any]
) -> PolicySteps:
    return environment.policies[card.player.removeprefix(SCRIPTED_PREFIX)].generate_actions(
        reset_observation
    )


def _next_action_json(
    policy_steps: PolicySteps, observation: Mapping[str, Any] | None
) -> str | None:
    """Return the text of a policy's next action; None where the policy ends.

    `answer` is the reply to its action before; None for its first action.
    """
    try:
        return _action_json(
            next(policy_steps) if observation is None else policy_steps.send(observation)
        )
    except StopIteration:
        return None


def _action_json(action: Mapping[str, Any]) -> str:
    return json.dumps(action, sort_keys=True)


def _status_reward_done(observation: Mapping[str, Any]) -> tuple[str, float, bool]:
    return observation["status"], observation["reward"] or 0.0, observation["done"]
