"""Playing the episodes of a run, one by one or several at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from openenv_kit.agent.episode_plan import PlannedEpisode
from openenv_kit.agent.results import INTERRUPTED, EpisodeResult, RunResult
from openenv_kit.agent.resume_file import EpisodeFile
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
        say: told about each episode.
    """

    planned: Sequence[PlannedEpisode]
    concurrency: int
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
        played = len(known)

        async def worker() -> None:
            nonlocal played
            for planned in waiting:
                if self._hopeless:
                    return
                result = await self._play(engine, planned)
                self._hopeless |= result.hopeless
                played += 1
                scored = (
                    "no score (the one in its END line only fills the field)"
                    if result.score is None
                    else f"score {result.score:.4f}"
                )
                self.say(
                    f"{planned.label}: {result.status}, {scored}, "
                    f"{result.steps} steps, {result.seconds:.2f} s "
                    f"({played} of {len(self.planned)})"
                )

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self.concurrency, len(self.planned))):
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
