"""NeMo Gym: a resources server with one endpoint for each tool, and its example data.

`examples/nemo_gym/` holds the folder that NeMo Gym wants: `app.py`, a configuration and data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse
from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.server_utils import SESSION_ID_KEY
from pydantic import ConfigDict, PrivateAttr

from openenv_kit.errors import ServerError
from openenv_kit.play.split_rows import reset_arguments, split_rows
from openenv_kit.trainers.tool_calls import SYSTEM_PROMPT, ToolEpisode, tool_specs

VERIFIED_SESSIONS = 4096
"""Verified sessions whose outcome is kept, so that verifying again says the same."""


class Outcome(NamedTuple):
    """What verify says of an episode."""

    reward: float
    submitted: bool
    tool_calls: int


class MetricTrackerConfig(BaseResourcesServerConfig):
    """Settings in the YAML file.

    Attributes:
        base_url: environment server to play on; None plays in this server's process.
    """

    base_url: str | None = None


class MetricTrackerSeedSession(BaseSeedSessionRequest):
    """A data row; `reset` holds the arguments of its reset."""

    model_config = ConfigDict(extra="allow")

    reset: dict[str, Any]


class MetricTrackerVerify(BaseVerifyRequest):
    """A data row with the model's response; other columns travel through."""

    model_config = ConfigDict(extra="allow")


class MetricTrackerVerified(BaseVerifyResponse):
    """The reward, beside the row's own columns."""

    model_config = ConfigDict(extra="allow")

    submitted: bool
    tool_calls: int


class MetricTrackerResourcesServer(SimpleResourcesServer):
    """Holds an episode for each session and answers its tool calls."""

    ray_enabled = False
    config: MetricTrackerConfig
    _episodes: dict[str, ToolEpisode] = PrivateAttr(default_factory=dict)
    _outcomes: dict[str, Outcome] = PrivateAttr(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        """The framework's endpoints, and one for each tool."""
        app: FastAPI = super().setup_webserver()
        for spec in tool_specs():
            self._add_tool(app, spec.name)
        return app

    async def seed_session(
        self, request: Request, body: MetricTrackerSeedSession
    ) -> BaseSeedSessionResponse:
        """Start the row's episode; a session that starts again gets a new one."""
        key = request.session[SESSION_ID_KEY]
        self._close(key)
        self._outcomes.pop(key, None)
        episode = ToolEpisode(self.config.base_url)
        try:
            episode.reset(body.reset)
        except ServerError as problem:
            raise HTTPException(502, str(problem)) from None
        self._episodes[key] = episode
        return BaseSeedSessionResponse()

    async def verify(self, request: Request, body: MetricTrackerVerify) -> MetricTrackerVerified:
        """The environment's own score of the report, 0 where none was submitted."""
        key = request.session[SESSION_ID_KEY]
        outcome = self._outcomes.get(key) or self._finish(key)
        if outcome is None:
            # Nothing was measured, which is not the same as a score of 0.
            reason = "the session was never seeded, or its environment server was lost"
            told = {"mask_sample": True, "failure_reason": reason}
            return MetricTrackerVerified(
                **{**body.model_dump(), **told}, reward=0.0, submitted=False, tool_calls=0
            )
        return MetricTrackerVerified(**body.model_dump(), **outcome._asdict())

    def _add_tool(self, app: FastAPI, name: str) -> None:
        async def answer(request: Request) -> PlainTextResponse:
            key = request.session[SESSION_ID_KEY]
            episode = self._episodes.get(key)
            if episode is None:
                return PlainTextResponse('{"status":"error","message":"Call seed_session first."}')
            raw = await request.body()
            try:
                return PlainTextResponse(episode.call(name, json.loads(raw or b"{}")))
            except ServerError as problem:
                # Without its episode the rollout is masked: what it would get is no measurement.
                self._close(key)
                raise HTTPException(502, str(problem)) from None

        app.post(f"/{name}")(answer)

    def _finish(self, key: str) -> Outcome | None:
        """End the session's episode and keep how it went; None where there is no episode."""
        episode = self._episodes.get(key)
        if episode is None:
            return None
        self._close(key)
        outcome = Outcome(episode.reward, episode.done, episode.calls)
        self._outcomes[key] = outcome
        while len(self._outcomes) > VERIFIED_SESSIONS:
            del self._outcomes[next(iter(self._outcomes))]
        return outcome

    def _close(self, key: str) -> None:
        episode = self._episodes.pop(key, None)
        if episode is not None:
            episode.close()


def data_rows(split: str, first: int = 0, count: int | None = None) -> Iterator[dict[str, Any]]:
    """A split as NeMo Gym's data rows: the first messages, the tools, and the reset.

    Args:
        split: name of the split.
        first: index of the first task.
        count: how many; None for all that follow.
    """
    tools = [
        {
            "type": "function",
            "name": spec.name,
            "description": spec.description,
            "parameters": spec.parameters,
            "strict": False,  # strict schemas know no optional arguments
        }
        for spec in tool_specs()
    ]
    for row in split_rows(split, first, count):
        messages = [
            {"role": "developer", "content": SYSTEM_PROMPT},
            {"role": "user", "content": ToolEpisode().reset(row)},
        ]
        yield {
            "responses_create_params": {"input": messages, "tools": tools},
            "task": row["task"],
            "reset": reset_arguments(row),
        }


def write_data(path: Path | str, split: str, first: int = 0, count: int | None = None) -> int:
    """Write `data_rows` as JSON Lines; returns how many."""
    written = 0
    with Path(path).open("w", encoding="utf-8") as lines:
        for row in data_rows(split, first, count):
            lines.write(json.dumps(row) + "\n")
            written += 1
    return written
