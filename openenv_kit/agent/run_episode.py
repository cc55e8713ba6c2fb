"""Plays one episode of a run in this process, from its START line to its result."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openenv_kit.agent.episode_plan import PlannedEpisode
from openenv_kit.agent.player_episode import PlayerEpisode
from openenv_kit.agent.players import Player
from openenv_kit.agent.redaction import build_redactor
from openenv_kit.agent.results import (
    EpisodeResult,
    RunStatus,
    copy_messages_with_truncated_tool_results,
)
from openenv_kit.agent.servers import PrintStatus, Server
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import EvaluationLog, TaskLog
from openenv_kit.environment import Environment
from openenv_kit.episode_clients.replaying_websocket import ReplayingWebSocketEpisode
from openenv_kit.errors import KitError, ModelError
from openenv_kit.own_data.product_argument import (
    find_product_of_reset,
    require_expected_product,
)
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import EndInfo
from openenv_kit.sealed_split import is_sealed_split


@dataclass
class LocalEpisodeRunner:
    """Plays planned episodes in this process; several may run at the same time.

    Attributes:
        environment: environment of the episodes.
        settings: settings of the run.
        player: policy or model that plays.
        server: server that the episodes are played on.
        evaluation_log: writer of the lines on standard output.
        recording_folder: folder for recordings; None to record nothing.
        print_status: prints a status message for the user, with secrets removed.
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
        """One-line description of the server."""
        return self.server.description

    async def play_episode_and_fill_result(self, result: EpisodeResult) -> None:
        """Play `result.planned` and fill in the other fields of the result.

        The END line is always printed. Failures are stored in the result; only a cancellation is
        propagated.
        """
        planned = result.planned
        start_s = time.monotonic()
        task_log = self.evaluation_log.start_task_log(
            planned.task_id, self.settings.benchmark, self.player.name
        )

        def print_episode_status(text: str) -> None:
            self.print_status(f"{planned.unique_label}: {text}")

        result.rewards = task_log.rewards
        client = ReplayingWebSocketEpisode(
            self.server,
            self.settings,
            print_episode_status,
            prose_fields=self.environment.tools.prose_fields,
        )
        try:
            await self._play_and_record_episode(result, client, task_log, print_episode_status)
        except KitError as problem:
            result.status, result.error = RunStatus.FAILED, str(problem)
            result.hopeless = isinstance(problem, ModelError) and problem.is_permanent
        except Exception as problem:  # a bug in this program must not end the other episodes
            result.status, result.error = RunStatus.FAILED, f"{type(problem).__name__}: {problem}"
            print_episode_status(traceback.format_exc())
        finally:
            result.seconds = time.monotonic() - start_s
            result.reconnects = client.reconnects
            task_log.write_end_line(result.is_success, result.score or 0.0)
            await client.close()

    async def _play_and_record_episode(
        self,
        result: EpisodeResult,
        client: ReplayingWebSocketEpisode,
        task_log: TaskLog,
        print_status: PrintStatus,
    ) -> None:
        planned = result.planned
        with ExitStack() as exit_stack:
            reset_observation = await client.reset(planned.reset)
            product = find_product_of_reset(self.environment, planned.reset)
            if product is not None:
                require_expected_product(self.environment, product.digest, reset_observation)
            recorder = self._open_recorder_if_enabled(planned, reset_observation, exit_stack)
            episode = PlayerEpisode(
                self.environment,
                client,
                task_log,
                reset_observation,
                recorder,
                print_status=print_status,
            )
            result.usage = episode.usage
            try:
                await self.player.play_episode(episode)
            except BaseException as problem:
                redact = build_redactor(self.settings.secrets)
                episode.record_end_of_episode(None, redact(str(problem) or type(problem).__name__))
                raise
            finally:
                result.conversation = copy_messages_with_truncated_tool_results(episode.transcript)
            _fill_status_and_score(result, episode, planned.reset)
            episode.record_end_of_episode(result.score, result.error)

    def _open_recorder_if_enabled(
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


def _fill_status_and_score(
    result: EpisodeResult, episode: PlayerEpisode, reset_arguments: Mapping[str, Any]
) -> None:
    """Fill in status, score, components and error after the player has finished."""
    observation = episode.last_observation
    result.error = episode.stop_reason
    components: Mapping[str, Any] | None = None
    if episode.is_done:
        components = episode.environment.extract_score_components(observation)
        if components is None and is_sealed_split(reset_arguments.get("split")):
            components = {}  # for a sealed episode, the server returns only the score
    if components is not None:
        result.status = RunStatus.EVALUATED
        result.breakdown = dict(components)
        result.score = float(observation["reward"] or 0.0)
        result.grounded = EndInfo.from_info(observation.get("metadata")).evidence_share
        return
    result.status, result.score = RunStatus.NOT_SUBMITTED, 0.0
    if not result.error:
        result.error = (
            observation.get("message", "") if episode.is_done else "No report was submitted."
        )
