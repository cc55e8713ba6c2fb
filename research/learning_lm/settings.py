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
        window: tokens that a convolution sees.
        places: most tokens of an episode.
    """

    width: int = 128
    layers: int = 4
    heads: int = 4
    window: int = 16
    places: int = 512


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

    traces: int = 2_000
    share: float = 0.0
    traces_from: str | None = None
    steps: int = 400
    batch: int = 16
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class Practice:
    """How to learn from rewards.

    Attributes:
        steps: gradient steps.
        batch: rollouts of a gradient step.
        together: gradient steps whose rollouts are played at once, before the first of them.
        tokens: most tokens of an episode after its opening.
        tokens_of_turn: most tokens that the model says at once.
        learning_rate: of AdamW, the same from the first step to the last.
        exam_every: gradient steps between examinations.
    """

    steps: int = 80
    batch: int = 32
    together: int = 4
    tokens: int = 384
    tokens_of_turn: int = 48
    learning_rate: float = 5e-4
    exam_every: int = 40


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        seeds: of models, traces and sampling; every arm is run with each.
        level: of all tasks.
        held_out: tasks of the validation split to examine with.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    level: str = "easy"
    held_out: int = 200
    shape: Shape = field(default_factory=Shape)
    lessons: Lessons = field(default_factory=Lessons)
    practice: Practice = field(default_factory=Practice)


@dataclass(frozen=True)
class Exam:
    """Held-out episodes, several plays of each.

    Attributes:
        steps: gradient steps of GRPO done before.
        graded: the grader's score of each play, by task; 0 where nothing was submitted.
        tokens: mean tokens of an episode after its opening.
    """

    steps: int
    graded: dict[str, list[float]]
    tokens: float

    @property
    def mean(self) -> float:
        """Mean score over tasks."""
        return fmean(map(fmean, self.graded.values()))

    @property
    def perfect(self) -> dict[str, list[float]]:
        """1.0 for each play that was perfect, and 0.0 for any other, by task."""
        return {
            task: [float(score == 1.0) for score in scores] for task, scores in self.graded.items()
        }

    @property
    def exact(self) -> float:
        """Share of perfect plays, its mean over tasks."""
        return fmean(map(fmean, self.perfect.values()))


@dataclass
class Stage:
    """One player of one seed, and how it came to be.

    Attributes:
        player: one of `PLAYERS`.
        seed: of its model.
        seconds: training took, examinations between its steps included.
        cpu_seconds: of processor time that it took; what matters on a machine that others use too.
        sampled: how it plays when each token is drawn at random, as in training.
        greedy: how it plays when each token is the likeliest.
        curve: examinations from before its training by GRPO to after it; those between have one
            play of each task.
        practice: what TRL logged between them, by name of the measure.
        losses: of the supervised lessons, the mean of each twentieth of them, in nats a token.
    """

    player: str
    seed: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    sampled: Exam | None = None
    greedy: Exam | None = None
    curve: list[Exam] = field(default_factory=list)
    practice: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether both final examinations were held."""
        return self.sampled is not None and self.greedy is not None
