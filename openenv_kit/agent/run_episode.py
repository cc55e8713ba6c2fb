"""One episode of a run, from its START line to its result: the unit of work of every engine."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openenv_kit.agent.episode_connection import EpisodeConnection
from openenv_kit.agent.episode_plan import PlannedEpisode
from openenv_kit.agent.player_episode import Table
from openenv_kit.agent.players import Player
from openenv_kit.agent.redaction import cleaner
from openenv_kit.agent.results import (
    EVALUATED,
    FAILED,
    NOT_SUBMITTED,
    EpisodeResult,
    shorten_tool_results,
)
from openenv_kit.agent.servers import Say, Server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import Lines
from openenv_kit.environment import Environment
from openenv_kit.errors import KitError, ModelError
from openenv_kit.recordings.format import RunRecorder
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.session import GROUNDED


@dataclass
class EpisodePlayer:
    """Plays planned episodes, each for itself; several may be played at a time.

    Attributes:
        lines: where the lines of standard output go.
        record: folder for recordings; None for none.
        say: prints a remark for people, free of secrets.
    """

    environment: Environment
    settings: AgentSettings
    player: Player
    server: Server
    lines: Lines
    record: Path | None
    say: Say

    @property
    def description(self) -> str:
        """Where the episodes are played."""
        return self.server.description

    async def play(self, result: EpisodeResult) -> None:
        """Play the episode that a result was planned for, and fill the result.

        Its END line is printed whatever happens. Only a cancellation is raised; any other failure
        is the result's.
        """
        planned, began = result.planned, time.monotonic()
        block = self.lines.block(planned.task_id, self.settings.benchmark, self.player.name)

        def say(text: str) -> None:
            self.say(f"{planned.label}: {text}")

        result.rewards = block.rewards
        connection = EpisodeConnection(self.server, self.settings, planned.reset, say)
        try:
            with ExitStack() as files:
                opening = await connection.open()
                recorder = self._recorder(planned, opening, files)
                table = Table(self.environment, connection, block, opening, recorder, say=say)
                result.usage = table.usage
                try:
                    await self.player.play(table)
                except BaseException as problem:
                    clean = cleaner(self.settings.secrets)
                    table.end_recording(None, clean(str(problem) or type(problem).__name__))
                    raise
                finally:
                    result.conversation = shorten_tool_results(table.transcript)
                _fill(result, table, planned.reset)
                table.end_recording(result.score, result.error)
        except KitError as problem:
            result.status, result.error = FAILED, str(problem)
            result.hopeless = isinstance(problem, ModelError) and problem.hopeless
        except Exception as problem:  # a bug of ours must not cost the other episodes
            result.status, result.error = FAILED, f"{type(problem).__name__}: {problem}"
            say(traceback.format_exc())
        finally:
            result.seconds = time.monotonic() - began
            result.reconnects = connection.reconnects
            block.end(result.success, result.score or 0.0)
            await connection.close()

    def _recorder(
        self, planned: PlannedEpisode, opening: Mapping[str, Any], files: ExitStack
    ) -> RunRecorder | None:
        if self.record is None:
            return None
        self.record.mkdir(parents=True, exist_ok=True)
        path = self.record / planned.recording
        stream = files.enter_context(path.open("w", encoding="utf-8"))
        return RunRecorder(stream, self.player.name, planned.reset, opening, self.environment)


def _fill(result: EpisodeResult, table: Table, reset: Mapping[str, Any]) -> None:
    """Fill a result from how the play at the table ended."""
    result.error = table.note
    parts = table.environment.score_parts(table.last) if table.done else None
    if parts is None and table.done and is_sealed_split(reset.get("split")):
        parts = {}  # the server shows the score alone
    result.status, result.score = NOT_SUBMITTED if parts is None else EVALUATED, 0.0
    if parts is not None:
        result.breakdown = dict(parts)
        result.score = float(table.last["reward"] or 0.0)
        result.grounded = table.last["metadata"].get(GROUNDED)
    elif not result.error:
        result.error = table.last.get("message", "") if table.done else "No report was submitted."
