"""Submissions: a folder with a card and recorded runs, checked by playing every run again.

```
submissions/some-model/card.yaml
submissions/some-model/runs.jsonl.gz
submissions/some-model/attestation.txt   of a sealed split, where its server signed one
```

The card states what the runs are. The check relies on none of it: `check_submission` plays each
run again and lists everything that is wrong. Replaying shows that the scores were reached. It
cannot show that no other attempts were left out, so a row counts as attested only with the record
that the server of the sealed split signed; see `openenv_kit.trust.attestation`.
"""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from openenv_kit.environment import ERROR, Environment, get_environment
from openenv_kit.errors import (
    MAX_ECHO,
    ConfigurationError,
    KitError,
    UnknownNameError,
    echo,
    require_name,
)
from openenv_kit.play.policies import Play as PolicySteps
from openenv_kit.play.recording import RecordedRun, read_runs
from openenv_kit.play.replaying import replay
from openenv_kit.session import GROUNDED
from openenv_kit.trust.attestation import (
    PUBLIC_KEY_VARIABLE,
    Attestation,
    AttestationError,
    AttestedPlay,
    digest_actions,
    verify_attestation,
)
from openenv_kit.trust.splits import SEALED, HashedSplits

CARD, RUNS, ATTESTATION = "card.yaml", "runs.jsonl.gz", "attestation.txt"
OWN_ARGUMENTS = ("episode_id", "split", "index")
"""Reset arguments that name a task; the others are the card's `reset`."""
SCRIPTED = "scripted:"
"""Prefix of players that are policies of the environment."""
MIN_TASKS = 20
"""Fewest tasks of a row, unless its split has fewer: with a few tasks, luck decides."""
MAX_CARD_BYTES = 1 << 16
MAX_RUNS_BYTES = 1 << 28
"""Largest recordings of a submission, uncompressed; a million steps take about this much."""
MAX_ATTESTATION_BYTES = 1 << 24


class SubmissionError(ConfigurationError):
    """A folder that is not a submission."""


class Card(BaseModel):
    """What a submission says of itself.

    Attributes:
        player: who played, as in the recordings; `scripted:NAME` is a policy of the environment.
        environment: its name.
        split: what was played.
        first, count: which of its tasks, from `first` on.
        tries: plays of each task.
        reset: further arguments of every reset.
        versions: under which it was played.
        commitment: to a sealed split, as published before it was played; empty for other splits.
        by, notes: whose submission it is, and what there is to say about it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    player: str = Field(min_length=1, max_length=120)
    environment: str
    split: str
    first: int = Field(0, ge=0)
    count: int = Field(ge=1, le=100_000)
    tries: int = Field(1, ge=1, le=1000)
    reset: dict[str, Any] = {}
    versions: dict[str, str]
    commitment: str = ""
    by: str = Field("", max_length=120)
    notes: str = Field("", max_length=2000)

    @field_validator("player")
    @classmethod
    def _require_plain_name(cls, player: str) -> str:
        # Letters of other scripts and invisible characters could imitate another player's name.
        if not (player.isascii() and player.isprintable() and player == player.strip()):
            raise ValueError(
                f"{echo(player)}; allowed: printable ASCII characters, without spaces at the ends"
            )
        return player

    @field_validator("reset")
    @classmethod
    def _require_further_arguments(cls, reset: dict[str, Any]) -> dict[str, Any]:
        if named := reset.keys() & {*OWN_ARGUMENTS, "task_id", "seed"}:
            raise ValueError(f"{', '.join(sorted(named))} would name another task")
        return reset

    @property
    def scripted(self) -> bool:
        """Whether the player is called like a policy that comes with the environment."""
        return self.player.startswith(SCRIPTED)

    @property
    def board(self) -> tuple[str, str, int, int, str]:
        """The same for submissions whose scores compare."""
        reset = json.dumps(self.reset, sort_keys=True)
        return self.environment, self.split, self.first, self.count, reset


@dataclass(frozen=True)
class Submission:
    """A submission as it was read.

    Attributes:
        name: its folder's.
        token: content of its attestation file; empty where it has none.
        attestation: the record in `token`, once its signature was verified.
    """

    name: str
    card: Card
    runs: list[RecordedRun]
    token: str = ""
    attestation: Attestation | None = None


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
        if submission.token:
            submission = replace(submission, attestation=_verified(submission.token, key))
        problems = list(problems_of(submission, min_tasks))
    except ConfigurationError as problem:
        problems = [str(problem)]
    except Exception as problem:  # what a stranger wrote must not end the check of the others
        problems = [f"The submission cannot be checked: {type(problem).__name__}."]
    return CheckedSubmission(folder.name, submission, problems)


def read_submission(folder: Path) -> Submission:
    """A folder's card and runs.

    Raises:
        SubmissionError: a file is missing or not what it has to be; says which.
    """
    for name in (CARD, RUNS):
        if not (folder / name).is_file():
            raise SubmissionError(f"{folder} has no {name}.")
    card = build_card(_read_yaml(folder / CARD), str(folder / CARD))
    try:
        runs = read_runs(folder / RUNS, MAX_RUNS_BYTES)
    except (KitError, OSError, EOFError, ValueError, zlib.error) as problem:
        raise SubmissionError(f"{folder / RUNS}: {problem}") from None
    token = ""
    if (folder / ATTESTATION).is_file():
        token = _read_text(folder / ATTESTATION, MAX_ATTESTATION_BYTES)
    return Submission(folder.name, card, runs, token)


def build_card(fields: Any, source: str = "The card") -> Card:
    """Return the card of some fields.

    Raises:
        SubmissionError: a field is missing or has a value that is not allowed; names it.
    """
    try:
        return Card.model_validate(fields)
    except ValidationError as problem:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'the card'}: {each['msg']}"
            for each in problem.errors()
        )
        raise SubmissionError(f"{source}: {wrong}.") from None


def write_submission(folder: Path, card: Card, recordings: str, token: str = "") -> None:
    """Write a submission; the same content gives the same bytes.

    `token` is the signed record of sealed play, if there is one.

    Raises:
        SubmissionError: the folder holds one already.
    """
    if (folder / CARD).exists():
        raise SubmissionError(f"{folder} holds a submission already; name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUNS).write_bytes(gzip.compress(recordings.encode(), mtime=0))
    text = yaml.safe_dump(card.model_dump(exclude_defaults=True), sort_keys=False)
    (folder / CARD).write_text(text, encoding="utf-8")
    if token:
        (folder / ATTESTATION).write_text(f"{token.strip()}\n", encoding="utf-8")


def further_of(run: RecordedRun) -> dict[str, Any]:
    """The arguments of a run's reset that name no task."""
    return {name: value for name, value in run.reset.items() if name not in OWN_ARGUMENTS}


def problems_of(submission: Submission, min_tasks: int = MIN_TASKS) -> Iterator[str]:
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
        *_seal_of(card, environment),
        *_versions_of(submission, environment),
        *_name_problems(card, environment),
    ]
    yield from broken
    if submission.attestation is None:
        yield from _tries_of(submission)
        yield from _copies_in(submission)
    else:
        yield from _attestation_problems(submission, submission.attestation)
    if not broken:
        for number, run in enumerate(submission.runs, start=1):
            yield from (
                f"Run {number}, {run.task}: {found}"
                for found in _run_problems(run, card, environment)
            )


class _PlainLoader(yaml.SafeLoader):
    """Loads YAML without aliases: a few of them stand for gigabytes once they are written out."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)


def _read_text(path: Path, max_bytes: int) -> str:
    with path.open("rb") as file:
        found = file.read(max_bytes + 1)
    if len(found) > max_bytes:
        raise SubmissionError(f"{path} holds more than {max_bytes // 1024} KiB.")
    try:
        return found.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise SubmissionError(f"{path} is not UTF-8: {problem}.") from None


def _read_yaml(path: Path) -> Any:
    text = _read_text(path, MAX_CARD_BYTES)
    try:
        return yaml.load(text, _PlainLoader)
    except RecursionError:
        raise SubmissionError(f"{path} is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as problem:  # ValueError: an impossible date or number
        raise SubmissionError(f"{path} is not YAML: {problem}") from None


def _verified(token: str, key: Ed25519PublicKey | None) -> Attestation:
    if key is None:
        raise AttestationError(
            f"{ATTESTATION} cannot be checked: set {PUBLIC_KEY_VARIABLE} to the public key of the "
            "server that signed it."
        )
    return verify_attestation(token, key)


def _seal_of(card: Card, environment: Environment) -> Iterator[str]:
    made, splits = "", environment.splits
    if card.split == SEALED and isinstance(splits, HashedSplits):
        try:
            made = splits.commitment()
        except ConfigurationError as problem:
            yield f"{card.split} cannot be played again: {problem}"
            return
    if made != card.commitment:
        said, here = card.commitment or "none", made or "none: it is not sealed"
        yield f"The card's commitment to {card.split} is {said}; that of this salt is {here}."


def _versions_of(submission: Submission, environment: Environment) -> Iterator[str]:
    card = submission.card
    now = dict(environment.versions)
    if card.versions != now:
        yield f"The card's versions are {card.versions}; these are {now}."
    for number, run in enumerate(submission.runs, start=1):
        if run.versions != now:
            yield f"Run {number}, {run.task}: played under {run.versions}; these are {now}."


def _name_problems(card: Card, environment: Environment) -> Iterator[str]:
    """Yield what is wrong with a player's name that looks like a scripted policy's."""
    if card.scripted:
        try:
            require_name("policy", card.player.removeprefix(SCRIPTED), environment.policies)
        except UnknownNameError as problem:
            yield f"The player is {card.player!r}, which names no policy. {problem}"
    elif re.match(r"[\W_]*scripted\b", unicodedata.normalize("NFKC", card.player).casefold()):
        yield (
            f"The player is {card.player!r}; names that begin with 'scripted' are for the "
            f"environment's own policies, written {SCRIPTED}NAME."
        )


def _tries_of(submission: Submission) -> Iterator[str]:
    """Yield the tasks that were not played as often as the card states."""
    card = submission.card
    wanted = [f"{card.split}-{card.first + number}" for number in range(card.count)]
    played = Counter(run.task for run in submission.runs)
    for task in wanted:
        if played[task] != card.tries:
            yield f"Plays of {task}: {played[task]}; the card says {card.tries}."
    for task in sorted(played.keys() - set(wanted)):
        yield f"{task[:MAX_ECHO]} is not among the card's tasks."


def _copies_in(submission: Submission) -> Iterator[str]:
    """Yield the runs that repeat an earlier one.

    Times are the player's own, so they do not tell two plays with the same actions apart. Only a
    record that the server signed does.
    """
    first_runs: dict[str, int] = {}
    for number, run in enumerate(submission.runs, start=1):
        key = f"{run.task} {digest_actions(step.action for step in run.steps)}"
        first = first_runs.setdefault(key, number)
        if first != number:
            yield (
                f"Run {number}, {run.task}: a copy of run {first}, or a play with the same "
                "actions, which cannot be told from one. Submit one try of each task, or a record "
                "signed by the server of a sealed split."
            )


@dataclass(frozen=True)
class _PlayKey:
    """What a recorded run and the server's record of it must have in common."""

    index: int
    reset: str
    steps: int
    score: float | None
    actions_digest: str


def _key_of_attested(play: AttestedPlay) -> _PlayKey:
    reset = json.dumps(play.reset, sort_keys=True)
    return _PlayKey(play.index, reset, play.steps, play.score, play.actions_digest)


def _key_of_run(run: RecordedRun) -> _PlayKey:
    reset, index = json.dumps(further_of(run), sort_keys=True), run.reset.get("index", 0)
    digest = digest_actions(step.action for step in run.steps)
    return _PlayKey(index, reset, len(run.steps), run.score, digest)


def _attestation_problems(submission: Submission, attestation: Attestation) -> Iterator[str]:
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
            yield f"The card's {name} is {echo(stated)}; the server signed {echo(signed)}."
    if card.split != SEALED:
        yield f"{ATTESTATION} is of the split {card.split}; only sealed play is attested."
    unmatched: dict[_PlayKey, list[int]] = {}
    for number, run in enumerate(submission.runs, start=1):
        unmatched.setdefault(_key_of_run(run), []).append(number)
    for play in attestation.plays:
        runs = unmatched.get(_key_of_attested(play))
        if runs:
            runs.pop(0)
        elif play.is_finished:  # an unfinished one scores 0 and needs no recording
            yield (
                f"Play {play.number} of {attestation.player!r}, {card.split}-{play.index} with "
                f"score {play.score}, is in the server's record and not among the runs."
            )
    for number in sorted(number for numbers in unmatched.values() for number in numbers):
        task = submission.runs[number - 1].task
        yield f"Run {number}, {task[:MAX_ECHO]}: not among the plays that the server signed."


def _run_problems(run: RecordedRun, card: Card, environment: Environment) -> Iterator[str]:
    """Yield what is wrong with one run, whose versions are right."""
    if run.player != card.player:
        yield f"played by {echo(run.player)}; the card says {card.player!r}."
    if further_of(run) != card.reset:
        yield f"reset with {echo(further_of(run))}; the card says {echo(card.reset)}."
        return
    if "index" not in run.reset or run.reset.get("split") != card.split:
        yield f"reset with {echo(run.reset)}; allowed: the split {card.split} and an index."
        return
    if run.score is None:
        yield "it has no end."
        return
    score, grounded, done = 0.0, None, False
    policy_steps: PolicySteps | None = None
    expected: str | None = None
    for number, (action, answer, same) in enumerate(replay(run, environment)):
        where = f"step {number}" if number else "the reset"
        if number:
            if done:
                yield f"{where} comes after the end of the episode."
                return
            recorded = run.steps[number - 1]
            same &= (recorded.status, recorded.reward, recorded.done) == _ending(answer)
            score = max(score, answer["reward"] or 0.0)
            grounded = answer.get("metadata", {}).get(GROUNDED)
            done = answer["done"]
        elif answer["status"] == ERROR:
            yield f"the reset is rejected: {answer['message']}"
            return
        if not same:
            yield f"the reply to {where} is not the recorded one."
            return
        if policy_steps and expected != _action_text(action):
            yield f"{where} is not what the policy {card.player!r} does."
            return
        if card.scripted and not done:
            policy_steps = policy_steps or _start_policy(card, environment, answer)
            expected = _next_action(policy_steps, answer if number else None)
    if policy_steps and not done and expected is not None:
        yield f"it ends before the policy {card.player!r} does."
    for name, said, made in (("score", run.score, score), (GROUNDED, run.grounded, grounded)):
        if said != made:
            yield f"its {name} is {said}; played again it is {made}."


def _start_policy(card: Card, environment: Environment, answer: Mapping[str, Any]) -> PolicySteps:
    return environment.policies[card.player.removeprefix(SCRIPTED)].play(answer)


def _next_action(steps: PolicySteps, answer: Mapping[str, Any] | None) -> str | None:
    """Return the text of a policy's next action; None where the policy ends.

    `answer` is the reply to its action before; None for its first action.
    """
    try:
        return _action_text(next(steps) if answer is None else steps.send(answer))
    except StopIteration:
        return None


def _action_text(action: Mapping[str, Any]) -> str:
    return json.dumps(action, sort_keys=True)


def _ending(answer: Mapping[str, Any]) -> tuple[str, float, bool]:
    return answer["status"], answer["reward"] or 0.0, answer["done"]
