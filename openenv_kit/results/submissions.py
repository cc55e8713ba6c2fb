"""Submissions: a folder with a card and recorded runs, checked by playing every run again.

```
submissions/some-model/card.yaml
submissions/some-model/runs.jsonl.gz
```

The card says what the runs are said to be. Nothing in it is believed: `problems_of` plays each run
again and names everything that does not hold.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError, KitError, UnknownNameError
from openenv_kit.play.recording import RecordedRun, read_runs
from openenv_kit.play.replaying import replay
from openenv_kit.session import GROUNDED
from openenv_kit.trust.splits import SEALED, HashedSplits

CARD, RUNS = "card.yaml", "runs.jsonl.gz"
OWN_ARGUMENTS = ("episode_id", "split", "index")
"""Reset arguments that name a task; the others are the card's `reset`."""


class SubmissionError(ConfigurationError):
    """A folder that is not a submission."""


class Card(BaseModel):
    """What a submission says of itself.

    Attributes:
        player: who played, as in the recordings.
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

    @property
    def scripted(self) -> bool:
        """Whether a policy played that comes with the environment, and no model."""
        return self.player.startswith("scripted:")

    @property
    def board(self) -> tuple[str, str, int, int, str]:
        """The same for submissions whose scores compare."""
        reset = repr(sorted(self.reset.items()))
        return self.environment, self.split, self.first, self.count, reset


@dataclass(frozen=True)
class Submission:
    """A submission as it was read; `name` is its folder's."""

    name: str
    card: Card
    runs: list[RecordedRun]


def read_submission(folder: Path) -> Submission:
    """A folder's card and runs.

    Raises:
        SubmissionError: a file is missing or not what it has to be; says which.
    """
    for name in (CARD, RUNS):
        if not (folder / name).is_file():
            raise SubmissionError(f"{folder} has no {name}.")
    try:
        fields = yaml.safe_load((folder / CARD).read_text(encoding="utf-8"))
        card = Card.model_validate(fields)
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise SubmissionError(f"{folder / CARD} is not YAML: {problem}") from None
    except ValidationError as problem:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'the card'}: {each['msg']}"
            for each in problem.errors()
        )
        raise SubmissionError(f"{folder / CARD}: {wrong}.") from None
    try:
        return Submission(folder.name, card, read_runs(folder / RUNS))
    except (KitError, OSError, EOFError, ValueError) as problem:
        raise SubmissionError(f"{folder / RUNS}: {problem}") from None


def write_submission(folder: Path, card: Card, recordings: str) -> None:
    """Write a submission; the same content gives the same bytes.

    Raises:
        SubmissionError: the folder holds one already.
    """
    if (folder / CARD).exists():
        raise SubmissionError(f"{folder} holds a submission already; name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUNS).write_bytes(gzip.compress(recordings.encode(), mtime=0))
    text = yaml.safe_dump(card.model_dump(exclude_defaults=True), sort_keys=False)
    (folder / CARD).write_text(text, encoding="utf-8")


def further_of(run: RecordedRun) -> dict[str, Any]:
    """The arguments of a run's reset that name no task."""
    return {name: value for name, value in run.reset.items() if name not in OWN_ARGUMENTS}


def problems_of(submission: Submission) -> Iterator[str]:
    """Everything about a submission that does not hold, one sentence each; nothing where it does.

    Every run is played again, with today's grader, until an earlier step has shown that the runs
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
    broken = [*_seal_of(card, environment), *_versions_of(submission, environment)]
    yield from broken
    yield from _tries_of(submission)
    if not broken:
        for number, run in enumerate(submission.runs, start=1):
            yield from (
                f"Run {number}, {run.task}: {found}"
                for found in _run_problems(run, card, environment)
            )


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


def _tries_of(submission: Submission) -> Iterator[str]:
    """Tasks that were not played as often as the card says, and plays that were copied."""
    card = submission.card
    wanted = [f"{card.split}-{card.first + number}" for number in range(card.count)]
    played = Counter(run.task for run in submission.runs)
    for task in wanted:
        if played[task] != card.tries:
            yield f"Plays of {task}: {played[task]}; the card says {card.tries}."
    for task in played.keys() - set(wanted):
        yield f"{task} is not among the card's tasks."
    seen: dict[str, int] = {}
    for number, run in enumerate(submission.runs, start=1):
        # Two plays of a task may well be alike, but never to the microsecond.
        if any(step.elapsed_s for step in run.steps):
            first = seen.setdefault(repr(run), number)
            if first != number:
                yield f"Run {number}, {run.task}: a copy of run {first}."


def _run_problems(run: RecordedRun, card: Card, environment: Environment) -> Iterator[str]:
    """What does not hold of one run, whose versions are right."""
    if run.player != card.player:
        yield f"played by {run.player!r}; the card says {card.player!r}."
    if further_of(run) != card.reset:
        yield f"reset with {further_of(run)}; the card says {card.reset}."
        return
    if run.score is None:
        yield "it has no end."
        return
    score, grounded = 0.0, None
    for number, (_, answer, same) in enumerate(replay(run, environment)):
        if number:
            recorded = run.steps[number - 1]
            same &= (recorded.status, recorded.reward, recorded.done) == _ending(answer)
            score = max(score, answer["reward"] or 0.0)
            grounded = answer.get("metadata", {}).get(GROUNDED)
        if not same:
            where = f"step {number}" if number else "the reset"
            yield f"the reply to {where} is not the recorded one."
            return
    for name, said, made in (("score", run.score, score), (GROUNDED, run.grounded, grounded)):
        if said != made and not (name == GROUNDED and said is None):
            yield f"its {name} is {said}; played again it is {made}."


def _ending(answer: Mapping[str, Any]) -> tuple[str, float, bool]:
    return answer["status"], answer["reward"] or 0.0, answer["done"]
