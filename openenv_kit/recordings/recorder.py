"""Writes runs to recordings while they are played; see `openenv_kit.recordings.format`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from openenv_kit.environment import Environment, get_environment
from openenv_kit.json_text import compact_json
from openenv_kit.own_data.product_argument import require_product_of_episode
from openenv_kit.recordings.digest import compute_private_digest, compute_reply_digest
from openenv_kit.recordings.format import RECORDING_FORMAT, RolloutOutcome
from openenv_kit.reply import EVIDENCE_SHARE_KEY, EndInfo, ReplyStatus
from openenv_kit.reset_arguments import PRODUCT, TABLE

PRIVATE_FILE_MODE = 0o600
"""Mode of the files of recordings that contain numbers of a user's table."""


class RunRecorder:
    """Writes a run to a stream, event by event, while it is played.

    Args:
        stream: text stream to write to.
        player_name: name of the policy or model. It must not contain an API key.
        reset_arguments: arguments of the reset. A product in them is recorded by its name. If they
            contain a user's table, the recording is marked as private, and only the user can read
            its file.
        reset_observation: observation of the reset.
        environment: the environment; None for the default one.

    Attributes:
        last_observation: observation of the last recorded step; empty before the first one.
    """

    def __init__(
        self,
        stream: IO[str],
        player_name: str,
        reset_arguments: Mapping[str, Any],
        reset_observation: Mapping[str, Any],
        environment: Environment | None = None,
    ) -> None:
        self._stream, self._step_count = stream, 0
        self._error_count, self._token_count = 0, 0
        self.last_observation: Mapping[str, Any] = {}
        environment = environment or get_environment()
        self._prose_fields = environment.tools.prose_fields
        reset_arguments = dict(reset_arguments)
        self._is_private = TABLE.name in reset_arguments
        product_fields: dict[str, str] = {}
        private_fields = {"private": True} if self._is_private else {}
        if self._is_private:
            make_file_private(stream)
        if reset_arguments.get(PRODUCT.name) is not None:
            product = require_product_of_episode(environment, reset_arguments, reset_observation)
            product_fields = product.row_columns
            reset_arguments[PRODUCT.name] = product.name
        self._write_event(
            event="start",
            format=RECORDING_FORMAT,
            player=player_name,
            environment=environment.name,
            reset=reset_arguments,
            versions=dict(environment.versions),
            **product_fields,
            **private_fields,
            digest=self._compute_digest(reset_observation),
        )

    def record_step(
        self,
        action: Mapping[str, Any],
        observation: Mapping[str, Any],
        elapsed_s: float = 0.0,
        messages: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write an action and the reply to it.

        Args:
            action: the action as it was sent.
            observation: observation of the reply.
            elapsed_s: seconds until the reply arrived.
            messages: messages that a model received and sent since the previous step.
        """
        self._step_count += 1
        self._error_count += observation.get("status") == ReplyStatus.ERROR
        self._token_count += sum(map(_count_tokens_of_message, messages))
        self.last_observation = observation
        extra = {"messages": list(messages)} if messages else {}
        self._write_event(
            event="step",
            n=self._step_count,
            action=dict(action),
            status=observation.get("status", ""),
            reward=observation.get("reward") or 0.0,
            done=bool(observation.get("done")),
            digest=self._compute_digest(observation),
            elapsed_s=round(elapsed_s, 6),
            **extra,
        )

    def count_rejected_call(self) -> None:
        """Count a tool call that could not be converted into an action, as an error of the run."""
        self._error_count += 1

    def record_end(
        self,
        score: float | None,
        last_observation: Mapping[str, Any] | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
        error: str = "",
    ) -> None:
        """Write the end of the run.

        Args:
            score: final score in [0, 1]; None if the episode failed.
            last_observation: observation of the last step, whose evidence share is written.
            messages: messages that a model received and sent since the last step.
            error: reason why the episode failed, or a note about how it ended.
        """
        end_info = EndInfo.from_info((last_observation or {}).get("metadata"))
        extra: dict[str, Any] = {"errors": self._error_count}
        token_count = self._token_count + sum(map(_count_tokens_of_message, messages))
        if token_count:
            extra["tokens"] = token_count
        extra["outcome"] = self._determine_outcome(score)
        if end_info.evidence_share is not None:
            extra[EVIDENCE_SHARE_KEY] = end_info.evidence_share
        if messages:
            extra["messages"] = list(messages)
        if error:
            extra["error"] = error
        self._write_event(event="end", score=score, steps=self._step_count, **extra)

    def _determine_outcome(self, score: float | None) -> RolloutOutcome:
        if score is None:
            return RolloutOutcome.FAILED
        last = self.last_observation
        is_graded = bool(last.get("done")) and not EndInfo.from_info(last.get("metadata")).reason
        return RolloutOutcome.COMPLETED if is_graded else RolloutOutcome.NO_REPORT

    def _compute_digest(self, observation: Mapping[str, Any]) -> str:
        digest = compute_reply_digest(observation, self._prose_fields)
        return compute_private_digest(digest) if self._is_private else digest

    def _write_event(self, **event: Any) -> None:
        self._stream.write(compact_json(event) + "\n")
        self._stream.flush()


def make_file_private(stream: IO[str]) -> None:
    """Restrict a stream's file to the current user; do nothing if the stream has no file."""
    with suppress(OSError):
        os.fchmod(stream.fileno(), PRIVATE_FILE_MODE)


def _count_tokens_of_message(message: Mapping[str, Any]) -> int:
    """Return the tokens that a model read and wrote for a response; 0 if they are not known."""
    usage = message.get("usage")
    if not isinstance(usage, Mapping):
        return 0
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    return sum(count for count in counts if isinstance(count, int))
