"""Checks submissions by replaying every run.

`replay_and_check_submission` does not trust the card: it replays each run and lists all problems.
A replay proves that the scores were reached. It cannot prove that no other attempts were left out,
so a submission is attested only with a record that the server of the sealed split has signed; see
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
from typing import Any, NamedTuple

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
from openenv_kit.reset_arguments import drop_task_selectors
from openenv_kit.results.attested_episodes import (
    find_attestation_problems,
    verify_attestation_token,
)

# Re-exported: these names are part of this module's interface.
from openenv_kit.results.submission_folder import CARD_FILENAME as CARD_FILENAME
from openenv_kit.results.submission_folder import (
    OWN_PRODUCTS_REFUSED,
    SCRIPTED_PREFIX,
    is_own_product_run,
)
from openenv_kit.results.submission_folder import RUNS_FILENAME as RUNS_FILENAME
from openenv_kit.results.submission_folder import Submission as Submission
from openenv_kit.results.submission_folder import SubmissionCard as SubmissionCard
from openenv_kit.results.submission_folder import SubmissionError as SubmissionError
from openenv_kit.results.submission_folder import read_submission as read_submission
from openenv_kit.results.submission_folder import write_submission as write_submission
from openenv_kit.rollouts.policies import PolicySteps as PolicySteps
from openenv_kit.splits import SEALED_SPLIT, HashedSplits
from openenv_kit.trust.attestation import compute_actions_digest

MIN_TASKS = 20
"""Minimum number of tasks in a submission, unless its split has fewer.

The mean score over fewer tasks depends too much on chance.
"""


@dataclass(frozen=True)
class CheckedSubmission:
    """The result of checking a folder.

    Attributes:
        name: name of the folder.
        submission: the submission; None if the folder could not be read.
        problems: one sentence for each problem; empty for a valid submission.
    """

    name: str
    submission: Submission | None
    problems: Sequence[str]


def replay_and_check_submission(
    folder: Path, public_key: Ed25519PublicKey | None = None, min_tasks: int = MIN_TASKS
) -> CheckedSubmission:
    """Read a submission and replay its runs. Failures are returned as problems.

    Args:
        folder: folder of the submission.
        public_key: public key that verifies the attestation; None if no key is known.
        min_tasks: minimum number of tasks, unless the split has fewer.
    """
    submission = None
    try:
        submission = read_submission(folder)
        if submission.attestation_token:
            submission = replace(
                submission,
                attestation=verify_attestation_token(submission.attestation_token, public_key),
            )
        problems = list(find_submission_problems(submission, min_tasks))
    except ConfigurationError as problem:
        problems = [str(problem)]
    except Exception as problem:  # A malformed submission must not end the check of the others.
        problems = [f"The submission cannot be checked: {type(problem).__name__}."]
    return CheckedSubmission(folder.name, submission, problems)


def find_submission_problems(submission: Submission, min_tasks: int = MIN_TASKS) -> Iterator[str]:
    """Yield a sentence for each problem of a submission.

    Every run is replayed with the installed grader, unless the card already has the wrong versions,
    commitment or player name.
    """
    card = submission.card
    try:
        environment = get_environment(card.environment)
        size = environment.splits.size(card.split)
    except UnknownNameError as problem:
        yield str(problem)
        return
    if card.first + card.count > size:
        last = card.first + card.count - 1
        yield f"The card names tasks {card.first} to {last} of {size}; allowed: 0 to {size - 1}."
        return
    if any(map(is_own_product_run, submission.runs)):
        yield f"A run was played on a product: {OWN_PRODUCTS_REFUSED}."
        return
    required_tasks = min(min_tasks, size)
    if card.count < required_tasks:
        yield f"The card has {card.count} tasks; the leaderboard requires {required_tasks} or more."
    card_problems = [
        *_find_commitment_problems(card, environment),
        *_find_version_problems(submission, environment),
        *_find_player_name_problems(card, environment),
    ]
    yield from card_problems
    if submission.attestation is None:
        yield from _find_try_count_problems(submission)
        yield from _find_copied_run_problems(submission)
    else:
        yield from find_attestation_problems(submission, submission.attestation)
    if card_problems:
        return
    for number, run in enumerate(submission.runs, start=1):
        for run_problem in _replay_run_and_find_problems(run, card, environment):
            yield f"Run {number}, {run.task_name}: {run_problem}"


def _find_commitment_problems(card: SubmissionCard, environment: Environment) -> Iterator[str]:
    commitment, splits = "", environment.splits
    if card.split == SEALED_SPLIT and isinstance(splits, HashedSplits):
        try:
            commitment = splits.compute_sealed_commitment()
        except ConfigurationError as problem:
            yield f"{card.split} cannot be replayed: {problem}"
            return
    if commitment != card.commitment:
        expected = commitment or "none, because it is not sealed"
        yield (
            f"The card's commitment to {card.split} is {card.commitment or 'none'}; expected: "
            f"{expected}."
        )


def _find_version_problems(submission: Submission, environment: Environment) -> Iterator[str]:
    card = submission.card
    versions = dict(environment.versions)
    if card.versions != versions:
        yield f"The card's versions are {card.versions}; installed: {versions}."
    for number, run in enumerate(submission.runs, start=1):
        if run.versions != versions:
            yield (
                f"Run {number}, {run.task_name}: played with {run.versions}; installed: {versions}."
            )


def _find_player_name_problems(card: SubmissionCard, environment: Environment) -> Iterator[str]:
    """Yield a problem if the player's name imitates a scripted policy or is an unknown policy."""
    if card.is_scripted:
        try:
            require_name("policy", card.player.removeprefix(SCRIPTED_PREFIX), environment.policies)
        except UnknownNameError as problem:
            yield f"The player {card.player!r} names no policy. {problem}"
    elif re.match(r"[\W_]*scripted\b", unicodedata.normalize("NFKC", card.player).casefold()):
        yield (
            f"The player is {card.player!r}; names that begin with 'scripted' are reserved for "
            f"the environment's policies, written {SCRIPTED_PREFIX}NAME."
        )


def _find_try_count_problems(submission: Submission) -> Iterator[str]:
    """Yield a problem for each task whose number of rollouts is not the number on the card."""
    card = submission.card
    tasks = [f"{card.split}-{card.first + number}" for number in range(card.count)]
    run_counts = Counter(run.task_name for run in submission.runs)
    for task in tasks:
        if run_counts[task] != card.tries:
            yield f"Runs of {task}: {run_counts[task]}; the card says {card.tries}."
    for task in sorted(run_counts.keys() - set(tasks)):
        yield f"{task[:MAX_REPR_CHARACTERS]} is not among the card's tasks."


def _find_copied_run_problems(submission: Submission) -> Iterator[str]:
    """Yield a problem for each run with the same actions as an earlier run of the same task.

    The timestamps in a recording come from the player, so they do not prove that two runs with the
    same actions are separate rollouts. Only a record signed by the server proves this.
    """
    first_runs: dict[tuple[str, str], int] = {}
    for number, run in enumerate(submission.runs, start=1):
        key = (run.task_name, compute_actions_digest(step.action for step in run.steps))
        first = first_runs.setdefault(key, number)
        if first != number:
            yield (
                f"Run {number}, {run.task_name}: a copy of run {first}, or a run with the same "
                "actions, which cannot be distinguished from a copy. Submit one try of each task, "
                "or a record signed by the server of a sealed split."
            )


def _replay_run_and_find_problems(
    run: RecordedRun, card: SubmissionCard, environment: Environment
) -> Iterator[str]:
    """Replay a run with the installed environment and yield each problem, such as a wrong score."""
    if run.player != card.player:
        yield f"played by {truncated_repr(run.player)}; the card says {card.player!r}."
    reset = drop_task_selectors(run.reset)
    if reset != drop_task_selectors(card.reset):
        yield f"reset with {truncated_repr(reset)}; the card says {truncated_repr(card.reset)}."
        return
    if "index" not in run.reset or run.reset.get("split") != card.split:
        yield (
            f"reset with {truncated_repr(run.reset)}; allowed: the split {card.split} and an index."
        )
        return
    if run.score is None:
        yield "it has no end."
        return
    policy_check = _PolicyCheck(environment, card.player) if card.is_scripted else None
    score = 0.0
    evidence_share: float | None = None
    is_done = False
    for number, (action, observation, is_same) in enumerate(iter_replayed_steps(run, environment)):
        step_name = f"step {number}" if number else "the reset"
        if number:
            if is_done:
                yield f"{step_name} comes after the end of the episode."
                return
            recorded = run.steps[number - 1]
            recorded_outcome = _StepOutcome(recorded.status, recorded.reward, recorded.done)
            is_same = is_same and recorded_outcome == _outcome_of(observation)
            score = max(score, observation["reward"] or 0.0)
            evidence_share = EndInfo.from_info(observation.get("metadata")).evidence_share
            is_done = observation["done"]
        elif observation["status"] == ReplyStatus.ERROR:
            yield f"the reset is rejected: {observation['message']}"
            return
        if not is_same:
            yield f"the reply to {step_name} differs from the recorded one."
            return
        if policy_check:
            if number and not policy_check.is_next_policy_action(action):
                yield f"{step_name} is not what the policy {card.player!r} does."
                return
            if not is_done:
                policy_check.send_reply_and_store_next_action(observation)
    if policy_check and not is_done and not policy_check.has_ended:
        yield f"it ends before the policy {card.player!r} does."
    if run.score != score:
        yield f"its score is {run.score}; the replay gives {score}."
    if run.evidence_share != evidence_share:
        yield (
            f"its {EVIDENCE_SHARE_KEY} is {run.evidence_share}; the replay gives {evidence_share}."
        )


class _PolicyCheck:
    """Runs a scripted policy alongside a replay and compares its actions with the recorded ones."""

    def __init__(self, environment: Environment, player: str) -> None:
        self._policy = environment.policies[player.removeprefix(SCRIPTED_PREFIX)]
        self._steps: PolicySteps | None = None
        self._next_action_json: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the policy has stopped playing."""
        return self._next_action_json is None

    def send_reply_and_store_next_action(self, observation: Mapping[str, Any]) -> None:
        """Send a reply to the policy, and store its next action."""
        try:
            if self._steps is None:
                self._steps = self._policy.generate_actions(observation)
                action = next(self._steps)
            else:
                action = self._steps.send(observation)
        except StopIteration:
            self._next_action_json = None
        else:
            self._next_action_json = _canonical_action_json(action)

    def is_next_policy_action(self, action: Mapping[str, Any]) -> bool:
        """Return whether an action is the policy's next action."""
        return self._next_action_json == _canonical_action_json(action)


class _StepOutcome(NamedTuple):
    """Status, reward and end flag of a step, stored in a recording next to the reply digest."""

    status: str
    reward: float
    is_done: bool


def _outcome_of(observation: Mapping[str, Any]) -> _StepOutcome:
    return _StepOutcome(observation["status"], observation["reward"] or 0.0, observation["done"])


def _canonical_action_json(action: Mapping[str, Any]) -> str:
    return json.dumps(action, sort_keys=True)
