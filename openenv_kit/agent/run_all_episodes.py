"""Plays all episodes of a run, one at a time or several at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from openenv_kit.agent.episode_plan import PlannedEpisode
from openenv_kit.agent.results import EpisodeResult, RunResult, RunStatus
from openenv_kit.agent.resume_file import ResumeFile
from openenv_kit.agent.servers import PrintStatus


class EpisodeRunner(Protocol):
    """Plays one episode of a run, in this process or on a cluster."""

    @property
    def description(self) -> str:
        """One-line description of where the episodes are played."""

    async def play_episode_and_fill_result(self, result: EpisodeResult) -> None:
        """Play `result.planned` and fill in the other fields of the result."""


@dataclass
class EpisodeScheduler:
    """Plays each planned episode once, several at a time.

    Attributes:
        planned_episodes: episodes of the run.
        concurrency: largest number of episodes that are played at the same time.
        print_status: prints a line for each finished episode.
        results: results of the started episodes, including results of an earlier run.
        resume_file: file to which each result is appended; None for no file.
    """

    planned_episodes: Sequence[PlannedEpisode]
    concurrency: int
    print_status: PrintStatus
    results: list[EpisodeResult] = field(default_factory=list)
    resume_file: ResumeFile | None = None
    _has_permanent_failure: bool = False

    async def run_all_episodes(
        self, runner: EpisodeRunner, player_name: str, benchmark: str
    ) -> RunResult:
        """Play every episode and return the result of the run.

        A failed episode does not end the run. After a cancellation, the result contains the
        episodes that were started.

        Args:
            runner: plays the episodes.
            player_name: see `RunResult.player`.
            benchmark: see `RunResult.benchmark`.
        """
        start_s = time.monotonic()
        is_interrupted = False
        try:
            await self._play_unfinished_episodes(runner)
        except asyncio.CancelledError:
            is_interrupted = True
        position_of_label = {
            planned.unique_label: position for position, planned in enumerate(self.planned_episodes)
        }
        return RunResult(
            player=player_name,
            benchmark=benchmark,
            server=runner.description,
            episodes=sorted(
                self.results, key=lambda result: position_of_label[result.planned.unique_label]
            ),
            planned_count=len(self.planned_episodes),
            seconds=time.monotonic() - start_s,
            is_interrupted=is_interrupted,
        )

    async def _play_unfinished_episodes(self, runner: EpisodeRunner) -> None:
        finished_labels = {result.planned.unique_label for result in self.results}
        remaining = iter(
            [
                planned
                for planned in self.planned_episodes
                if planned.unique_label not in finished_labels
            ]
        )
        finished_count = len(finished_labels)

        async def play_queued_episodes() -> None:
            nonlocal finished_count
            for planned in remaining:
                if self._has_permanent_failure:
                    return
                result = await self._play_episode_and_store_result(runner, planned)
                self._has_permanent_failure |= result.hopeless
                finished_count += 1
                score_text = (
                    "no score (the END line shows a placeholder)"
                    if result.score is None
                    else f"score {result.score:.4f}"
                )
                self.print_status(
                    f"{planned.unique_label}: {result.status}, {score_text}, "
                    f"{result.steps} steps, {result.seconds:.2f} s "
                    f"({finished_count} of {len(self.planned_episodes)})"
                )

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self.concurrency, len(self.planned_episodes))):
                workers.create_task(play_queued_episodes())

    async def _play_episode_and_store_result(
        self, runner: EpisodeRunner, planned: PlannedEpisode
    ) -> EpisodeResult:
        result = EpisodeResult(planned)
        self.results.append(result)
        try:
            await runner.play_episode_and_fill_result(result)
        except asyncio.CancelledError:
            result.status, result.error = RunStatus.INTERRUPTED, "Interrupted."
            raise
        if self.resume_file is not None:
            self.resume_file.append_result_if_finished(result)
        return result
