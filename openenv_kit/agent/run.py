"""Playing the episodes of a run, one by one or several at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from openenv_kit.agent.episode_file import EpisodeFile
from openenv_kit.agent.plan import PlannedEpisode
from openenv_kit.agent.results import INTERRUPTED, EpisodeResult, RunResult
from openenv_kit.agent.servers import Say


class Engine(Protocol):
    """What plays episodes: this process, or the workers of a cluster."""

    @property
    def description(self) -> str:
        """Where they are played, in one line."""

    async def play(self, result: EpisodeResult) -> None:
        """Play the episode that a result was planned for, and fill the result."""


@dataclass
class Run:
    """Plays planned episodes, some at a time, each of them once.

    Attributes:
        results: of the episodes that were started, those of an earlier run included.
        file: where each result is kept as soon as it is there; None for nowhere.
        console: standard error, where `say` prints a line free of secrets.
    """

    planned: Sequence[PlannedEpisode]
    concurrency: int
    console: Console
    say: Say
    results: list[EpisodeResult] = field(default_factory=list)
    file: EpisodeFile | None = None
    _hopeless: bool = False

    async def play(self, engine: Engine, player: str, benchmark: str) -> RunResult:
        """Play every episode. One that fails does not end the run; a cancellation does.

        Args:
            engine: what plays them.
            player: its name, as in `RunResult`.
            benchmark: as there.
        """
        began = time.monotonic()
        interrupted = False
        try:
            await self._play_all(engine)
        except asyncio.CancelledError:
            interrupted = True
        order = {each.label: number for number, each in enumerate(self.planned)}
        return RunResult(
            player=player,
            benchmark=benchmark,
            server=engine.description,
            episodes=sorted(self.results, key=lambda each: order[each.planned.label]),
            planned=len(self.planned),
            seconds=time.monotonic() - began,
            interrupted=interrupted,
        )

    async def _play_all(self, engine: Engine) -> None:
        known = {each.planned.label for each in self.results}
        waiting = iter([each for each in self.planned if each.label not in known])
        left, began, played = len(self.planned) - len(known), time.monotonic(), 0
        progress = Progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            "{task.fields[so_far]}",
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with progress:
            bar = progress.add_task(
                "Playing", total=len(self.planned), completed=len(known), so_far=""
            )

            async def worker() -> None:
                nonlocal played
                for planned in waiting:
                    if self._hopeless:
                        return
                    result = await self._play(engine, planned)
                    self._hopeless |= result.hopeless
                    played += 1
                    at = pace(played, left - played, time.monotonic() - began)
                    if not self.console.is_terminal:
                        self.say(
                            f"{planned.label}: {result.status}, score {result.score:.4f}, "
                            f"{result.steps} steps, {result.seconds:.2f} s "
                            f"({len(known) + played} of {len(self.planned)}, {at})"
                        )
                    mean = sum(each.score for each in self.results) / len(self.results)
                    progress.update(bar, advance=1, so_far=f"{at}, mean score {mean:.3f}")

            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self.concurrency, left)):
                    workers.create_task(worker())

    async def _play(self, engine: Engine, planned: PlannedEpisode) -> EpisodeResult:
        result = EpisodeResult(planned)
        self.results.append(result)
        try:
            await engine.play(result)
        except asyncio.CancelledError:
            result.status, result.error = INTERRUPTED, "Interrupted."
            raise
        if self.file is not None:
            self.file.add(result)
        return result


RATES = ((1, "a second"), (60, "a minute"), (3600, "an hour"), (86_400, "a day"))


def pace(played: int, left: int, elapsed_s: float) -> str:
    """How fast episodes are played, and about how long the others take.

    Args:
        played: episodes, at least one.
        left: episodes that are not played yet.
        elapsed_s: seconds since the first one began.
    """
    each = max(elapsed_s / played, 1e-6)
    span, unit = next((rate for rate in RATES if each <= rate[0]), RATES[-1])
    rate = f"{span / each:.1f} {unit}"
    return f"{rate}, about {_span(each * left)} left" if left else rate


def _span(seconds: float) -> str:
    """A time to two or three digits: 90 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
