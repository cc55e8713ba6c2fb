"""Playing the episodes of a run, one by one or several at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from openenv_kit.agent.connection import EpisodeConnection
from openenv_kit.agent.options import Options
from openenv_kit.agent.plan import PlannedEpisode
from openenv_kit.agent.results import (
    EVALUATED,
    FAILED,
    INTERRUPTED,
    NOT_SUBMITTED,
    EpisodeResult,
    RunResult,
)
from openenv_kit.agent.servers import Say, Server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import Lines
from openenv_kit.agent.table import Table
from openenv_kit.errors import KitError, ModelError
from openenv_kit.play.policies import Policy
from openenv_kit.play.recording import RunRecorder


class Player(Protocol):
    """Who plays."""

    name: str

    async def play(self, table: Table) -> None:
        """Play one episode; several may be played at a time."""

    async def close(self) -> None:
        """Release what the player holds."""


class ScriptedPlayer:
    """Plays one of an environment's scripted policies."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = f"scripted:{policy.name}"

    async def play(self, table: Table) -> None:
        """Play until the policy or the episode ends."""
        with closing(self._policy.play(table.opening)) as moves, suppress(StopIteration):
            action = next(moves)
            while True:
                observation = await table.act(action)
                if table.done:
                    return
                action = moves.send(observation)

    async def close(self) -> None:
        """Nothing to release."""


@dataclass
class EpisodeRunner:
    """Plays the planned episodes, some at a time.

    Lines go to standard output; the console is standard error, where `say` prints a line free of
    secrets.
    """

    options: Options
    settings: AgentSettings
    player: Player
    server: Server
    planned: Sequence[PlannedEpisode]
    lines: Lines
    console: Console
    say: Say
    results: list[EpisodeResult] = field(default_factory=list)
    _hopeless: bool = False

    async def run(self) -> RunResult:
        """Play every episode. One that fails does not end the run; a cancellation does."""
        began = time.monotonic()
        interrupted = False
        try:
            await self._play_all()
        except asyncio.CancelledError:
            interrupted = True
        order = {each.label: number for number, each in enumerate(self.planned)}
        return RunResult(
            player=self.player.name,
            benchmark=self.settings.benchmark,
            server=self.server.description,
            episodes=sorted(self.results, key=lambda each: order[each.planned.label]),
            planned=len(self.planned),
            seconds=time.monotonic() - began,
            interrupted=interrupted,
        )

    async def _play_all(self) -> None:
        progress = Progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            "mean score {task.fields[score]}",
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        waiting = iter(self.planned)
        with progress:
            bar = progress.add_task("Playing", total=len(self.planned), score="-")

            async def worker() -> None:
                for planned in waiting:
                    if self._hopeless:
                        return
                    result = await self._play(planned)
                    if not self.console.is_terminal:
                        self.say(
                            f"{planned.label}: {result.status}, score {result.score:.4f}, "
                            f"{result.steps} steps, {result.seconds:.2f} s"
                        )
                    mean = sum(each.score for each in self.results) / len(self.results)
                    progress.update(bar, advance=1, score=f"{mean:.3f}")

            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self.options.concurrency, len(self.planned))):
                    workers.create_task(worker())

    async def _play(self, planned: PlannedEpisode) -> EpisodeResult:
        """Play one episode; its END line is printed whatever happens."""
        result = EpisodeResult(planned)
        self.results.append(result)
        began = time.monotonic()
        block = self.lines.block(planned.task_id, self.settings.benchmark, self.player.name)
        environment = self.options.environment

        def say(text: str) -> None:
            self.say(f"{planned.label}: {text}")

        connection = EpisodeConnection(environment, self.server, self.settings, planned.reset, say)
        try:
            with ExitStack() as files:
                opening = await connection.open()
                recorder = self._recorder(planned, opening, files)
                table = Table(environment, connection, block, opening, recorder)
                result.events, result.usage = table.events, table.usage
                try:
                    await self.player.play(table)
                finally:
                    _fill(result, table)
        except asyncio.CancelledError:
            result.status, result.error = INTERRUPTED, "Interrupted."
            raise
        except KitError as problem:
            result.status, result.error = FAILED, str(problem)
            self._hopeless |= isinstance(problem, ModelError) and problem.hopeless
        except Exception as problem:  # a bug of ours must not cost the other episodes
            result.status, result.error = FAILED, f"{type(problem).__name__}: {problem}"
            self.console.print_exception()
        finally:
            result.seconds = time.monotonic() - began
            result.reconnects = connection.reconnects
            result.tool_calls = connection.tool_calls
            result.reply_bytes = connection.reply_bytes
            block.end(result.success, result.score)
            await connection.close()
        return result

    def _recorder(
        self, planned: PlannedEpisode, opening: Mapping[str, Any], files: ExitStack
    ) -> RunRecorder | None:
        folder, environment = self.options.record, self.options.environment
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{planned.label}.jsonl"
        stream = files.enter_context(path.open("w", encoding="utf-8"))
        return RunRecorder(stream, self.player.name, planned.reset, opening, environment)


def _fill(result: EpisodeResult, table: Table) -> None:
    """Fill a result from how the play at the table ended."""
    result.error = table.note
    parts = table.environment.score_parts(table.last) if table.done else None
    result.status = NOT_SUBMITTED if parts is None else EVALUATED
    if parts is not None:
        result.breakdown = dict(parts)
        result.score = float(table.last["reward"] or 0.0)
    elif not result.error:
        result.error = table.last.get("message", "") if table.done else "No report was submitted."
    if table.recorder is not None:
        table.recorder.end(result.score)
