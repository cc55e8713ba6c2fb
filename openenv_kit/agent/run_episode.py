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
from openenv_kit.agent.player_episode import PlayerEpisode
from openenv_kit.agent.players import Player
from openenv_kit.agent.redaction import build_redactor
from openenv_kit.agent.results import (
    EVALUATED,
    FAILED,
    NOT_SUBMITTED,
    EpisodeResult,
    shorten_tool_results,
)
from openenv_kit.agent.servers import PrintStatus, Server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import EvaluationLog
from openenv_kit.environment import Environment
from openenv_kit.errors import KitError, ModelError
from openenv_kit.recordings.format import RunRecorder
from openenv_kit.reply import EndInfo
from openenv_kit.sealed_split import is_sealed_split


@dataclass
class LocalEpisodeRunner:
    """Plays planned episodes, each for itself; several may be played at a time.

    Attributes:
        evaluation_log: where the lines of standard output go.
        recording_folder: folder for recordings; None for none.
        print_status: prints a remark for people, free of secrets.
    """

    environment: Environment
    settings: AgentSettings
    player: Player
    server: Server
    evaluation_log: EvaluationLog
    recording_folder: Path | None
    print_status: PrintStatus

    @property
    def description(self) -> str:
        """Where the episodes are played."""
        return self.server.description

    async def run_episode(self, result: EpisodeResult) -> None:
        """Play the episode that a result was planned for, and fill the result.

        Its END line is printed whatever happens. Only a cancellation is raised; any other failure
        is the result's.
        """
        planned, began = result.planned, time.monotonic()
        block = self.evaluation_log.start_task_log(
            planned.task_id, self.settings.benchmark, self.player.name
        )

        def say(text: str) -> None:
            self.print_status(f"{planned.label}: {text}")

        result.rewards = block.rewards
        connection = EpisodeConnection(
            self.server,
            self.settings,
            planned.reset,
            say,
            prose_fields=self.environment.tools.prose_fields,
        )
        try:
            with ExitStack() as files:
                opening = await connection.start_episode()
                recorder = self._open_recorder(planned, opening, files)
                table = PlayerEpisode(
                    self.environment, connection, block, opening, recorder, print_status=say
                )
                result.usage = table.usage
                try:
                    await self.player.play_episode(table)
                except BaseException as problem:
                    clean = build_redactor(self.settings.secrets)
                    table.end_recording(None, clean(str(problem) or type(problem).__name__))
                    raise
                finally:
                    result.conversation = shorten_tool_results(table.transcript)
                _fill_result(result, table, planned.reset)
                table.end_recording(result.score, result.error)
        except KitError as problem:
            result.status, result.error = FAILED, str(problem)
            result.hopeless = isinstance(problem, ModelError) and problem.is_permanent
        except Exception as problem:  # a bug of ours must not cost the other episodes
            result.status, result.error = FAILED, f"{type(problem).__name__}: {problem}"
            say(traceback.format_exc())
        finally:
            result.seconds = time.monotonic() - began
            result.reconnects = connection.reconnects
            block.write_end(result.success, result.score or 0.0)
            await connection.close()

    def _open_recorder(
        self, planned: PlannedEpisode, reset_observation: Mapping[str, Any], exit_stack: ExitStack
    ) -> RunRecorder | None:
        if self.recording_folder is None:
            return None
        self.recording_folder.mkdir(parents=True, exist_ok=True)
        path = self.recording_folder / planned.recording_filename
        stream = exit_stack.enter_context(path.open("w", encoding="utf-8"))
        return RunRecorder(
            stream, self.player.name, planned.reset, reset_observation, self.environment
        )


def _fill_result(
    result: EpisodeResult, episode: PlayerEpisode, reset_arguments: Mapping[str, Any]
) -> None:
    """Fill a result from how the play at the table ended."""
    result.error = episode.stop_reason
    parts = (
        episode.environment.score_components(episode.last_observation) if episode.is_done else None
    )
    if parts is None and episode.is_done and is_sealed_split(reset_arguments.get("split")):
        parts = {}  # the server shows the score alone
    result.status, result.score = NOT_SUBMITTED if parts is None else EVALUATED, 0.0
    if parts is not None:
        result.breakdown = dict(parts)
        result.score = float(episode.last_observation["reward"] or 0.0)
        end_info = EndInfo.from_info(episode.last_observation.get("metadata"))
        result.grounded = end_info.evidence_share
    elif not result.error:
        result.error = (
            episode.last_observation.get("message", "")
            if episode.is_done
            else "No report was submitted."
        )
