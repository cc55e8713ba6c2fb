"""Playing the jobs of a run, one by one or several at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from openenv_kit.agent.connection import EpisodeConnection
from openenv_kit.agent.jobs import Job
from openenv_kit.agent.outcome import (
    EVALUATED,
    FAILED,
    INTERRUPTED,
    NOT_SUBMITTED,
    Outcome,
    RunSummary,
)
from openenv_kit.agent.servers import Say, Server
from openenv_kit.agent.settings import Settings
from openenv_kit.agent.stdout import Lines
from openenv_kit.agent.table import Table
from openenv_kit.environment import Environment
from openenv_kit.errors import KitError, ModelError
from openenv_kit.play.recording import RunRecorder


class Player(Protocol):
    """Who plays: a scripted policy or a model."""

    name: str

    async def play(self, table: Table) -> None:
        """Play one episode; several may be played at a time."""

    async def close(self) -> None:
        """Release what the player holds."""


@dataclass
class Run:
    """One run over some jobs.

    Attributes:
        environment: what is played.
        player: who plays.
        server: where.
        settings: of the run.
        jobs: what.
        lines: standard output.
        console: standard error.
        say: prints a line there, free of secrets.
        record: folder of the recordings, if any.
        concurrency: episodes at a time.
    """

    environment: Environment
    player: Player
    server: Server
    settings: Settings
    jobs: Sequence[Job]
    lines: Lines
    console: Console
    say: Say
    record: Path | None = None
    concurrency: int = 1
    outcomes: list[Outcome] = field(default_factory=list)
    _hopeless: bool = False

    async def play(self) -> RunSummary:
        """Play every job. A task that fails does not end the run; a cancellation does."""
        began = time.monotonic()
        interrupted = False
        try:
            await self._play_all()
        except asyncio.CancelledError:
            interrupted = True
        order = {job.label: number for number, job in enumerate(self.jobs)}
        return RunSummary(
            player=self.player.name,
            benchmark=self.settings.benchmark,
            server=self.server.description,
            outcomes=sorted(self.outcomes, key=lambda each: order[each.job.label]),
            planned=len(self.jobs),
            seconds=time.monotonic() - began,
            interrupted=interrupted,
        )

    async def _play_all(self) -> None:
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("mean score {task.fields[score]}"),
            console=self.console,
            transient=True,
        )
        waiting = iter(self.jobs)
        with progress if self.console.is_terminal else nullcontext():
            bar = progress.add_task("Playing", total=len(self.jobs), score="-")

            async def worker() -> None:
                for job in waiting:
                    if self._hopeless:
                        return
                    outcome = await self._play_job(job)
                    if not self.console.is_terminal:
                        self.say(
                            f"{job.label}: {outcome.status}, score {outcome.score:.4f}, "
                            f"{outcome.steps} steps, {outcome.seconds:.2f} s"
                        )
                    mean = sum(each.score for each in self.outcomes) / len(self.outcomes)
                    progress.update(bar, advance=1, score=f"{mean:.3f}")

            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self.concurrency, len(self.jobs))):
                    workers.create_task(worker())

    async def _play_job(self, job: Job) -> Outcome:
        """Play one job to an outcome; its END line is printed whatever happens."""
        outcome = Outcome(job)
        self.outcomes.append(outcome)
        began = time.monotonic()
        block = self.lines.block(job.task_id, self.settings.benchmark, self.player.name)
        connection = EpisodeConnection(
            self.environment, self.server, self.settings, job.reset, self._say(job)
        )
        table = None
        try:
            with ExitStack() as files:
                opening = await connection.open()
                table = Table(
                    self.environment,
                    connection,
                    block,
                    opening,
                    self._recorder(job, opening, files),
                )
                try:
                    await self.player.play(table)
                finally:
                    _score(outcome, table)
        except asyncio.CancelledError:
            outcome.status, outcome.error = INTERRUPTED, "Interrupted."
            raise
        except KitError as problem:
            outcome.status, outcome.error = FAILED, str(problem)
            self._hopeless |= isinstance(problem, ModelError) and problem.hopeless
        except Exception as problem:  # a fault of ours must not cost the other tasks
            outcome.status = FAILED
            outcome.error = f"{type(problem).__name__}: {problem}"
            self.console.print_exception()
        finally:
            outcome.seconds = time.monotonic() - began
            outcome.reconnects = connection.reconnects
            outcome.tool_calls = connection.tool_calls
            outcome.reply_bytes = connection.reply_bytes
            outcome.steps = block.steps
            block.end(outcome.success, outcome.score)
            await connection.close()
        return outcome

    def _recorder(
        self, job: Job, opening: dict[str, object], files: ExitStack
    ) -> RunRecorder | None:
        if self.record is None:
            return None
        self.record.mkdir(parents=True, exist_ok=True)
        path = self.record / f"{job.label}.jsonl"
        stream = files.enter_context(path.open("w", encoding="utf-8"))
        return RunRecorder(stream, self.player.name, job.reset, opening)

    def _say(self, job: Job) -> Say:
        def say(text: str) -> None:
            self.say(f"{job.label}: {text}")

        return say


def _score(outcome: Outcome, table: Table) -> None:
    """Fill an outcome from what happened at the table."""
    outcome.rewards, outcome.events = table.rewards, table.events
    outcome.usage, outcome.error = table.usage, table.note
    parts = table.environment.score_parts(table.last) if table.done else None
    outcome.status = EVALUATED if parts else NOT_SUBMITTED
    if outcome.status == EVALUATED:
        outcome.breakdown = dict(parts or {})
        outcome.score = float(table.last["reward"] or 0.0)
    elif not outcome.error:
        outcome.error = table.last.get("message", "") if table.done else "No report was submitted."
    if table.recorder is not None:
        table.recorder.end(outcome.score)
