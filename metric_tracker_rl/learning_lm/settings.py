"""What to run, without a library that would have to be installed."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean

UNTRAINED, SUPERVISED, GRPO, SHUFFLED = "untrained", "supervised", "grpo", "shuffled"
ARMS = (GRPO, SHUFFLED)
"""What follows the supervised lessons: GRPO, and its control."""
PLAYERS = (UNTRAINED, SUPERVISED, *ARMS)


@dataclass(frozen=True)
class Shape:
    """Size of the transformer.

    Attributes:
        width: of a token's vector; a multiple of `heads`.
        layers, heads: how many.
        places: most tokens of an episode.
    """

    width: int = 192
    layers: int = 4
    heads: int = 6
    places: int = 2048


@dataclass(frozen=True)
class Lessons:
    """How to learn from traces.

    Attributes:
        traces: how many, of the first tasks of the train split.
        share: of the traces' decisions that are made at random, in [0, 1].
        traces_from: a file of traces that `collect` wrote, to learn from instead.
        steps: gradient steps.
        batch: traces of a step.
        learning_rate: at its highest, after a tenth of the steps; it ends at a tenth of that.
    """

    traces: int = 6_000
    share: float = 0.5
    traces_from: str | None = None
    steps: int = 1_000
    batch: int = 64
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class Practice:
    """How to learn from rewards.

    Attributes:
        steps: most gradient steps.
        batch: rollouts of a gradient step.
        steps_per_round: gradient steps for which rollouts are made at once.
        first: index in the train split of the first task; those before it are for traces.
        tokens: most tokens of an episode after its opening.
        tokens_of_turn: most tokens that the model says at once.
        learning_rate: of AdamW, the same from the first step to the last.
        exam_every: gradient steps between examinations.
    """

    steps: int = 2_000
    batch: int = 64
    steps_per_round: int = 4
    first: int = 6_000
    tokens: int = 1024
    tokens_of_turn: int = 128
    learning_rate: float = 3e-4
    exam_every: int = 50


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        seeds: of models, traces and sampling; every arm is run with each.
        held_out: tasks of the validation split to examine with.
        minutes: after which to end, whatever is left to do.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    held_out: int = 200
    minutes: float = 120.0
    shape: Shape = field(default_factory=Shape)
    lessons: Lessons = field(default_factory=Lessons)
    practice: Practice = field(default_factory=Practice)


@dataclass(frozen=True)
class Exam:
    """Held-out episodes, several plays of each.

    Attributes:
        steps: gradient steps of GRPO done before.
        seconds: time since that training began.
        graded: the grader's score of each play, by task; 0 where nothing was submitted.
        exact: share of the plays that were perfect.
        equal: share of the tasks whose plays all earned the same under the training reward, which
            can be compared only between exams with as many plays of a task.
        tokens: mean tokens of an episode after its opening.
    """

    steps: int
    seconds: float
    graded: dict[str, list[float]]
    exact: float
    equal: float
    tokens: float

    @property
    def mean(self) -> float:
        """Mean score over tasks."""
        return fmean(map(fmean, self.graded.values()))


@dataclass
class Stage:
    """One player of one seed, and how it came to be.

    Attributes:
        player: one of `PLAYERS`.
        seed: of its model.
        seconds: training took.
        sampled: how it plays when each token is drawn at random, as in training.
        greedy: how it plays when each token is the likeliest.
        curve: shorter examinations while it was trained by GRPO.
        practice: what TRL logged between them, by name of the measure.
        losses: of the supervised lessons, the mean of each twentieth of them, in nats a token.
    """

    player: str
    seed: int
    seconds: float = 0.0
    sampled: Exam | None = None
    greedy: Exam | None = None
    curve: list[Exam] = field(default_factory=list)
    practice: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether both final examinations were held."""
        return self.sampled is not None and self.greedy is not None
