"""A visitor's model endpoint: used as the agent uses its own, but never quoted when it fails.

What an endpoint says about a failure could be a page of a private network, so the visitor gets its
status and what to do about it, in our words.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import httpx

from openenv_kit.agent.chat import (
    Answer,
    ChatRequest,
    ContextFullError,
    Message,
    is_too_long,
    read_answer,
)
from openenv_kit.agent.secrets import cleaner
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.errors import ModelError
from openenv_kit.page.visitor_client import PassingError, VisitorClient

RETRY_AFTER_S = 1.0
MAX_CALLS = 32
"""Tool calls of one answer that are played; a model that calls in parallel makes a handful."""
REASONS = {
    401: "refused the key",
    402: "asks for credits",
    403: "does not let this key use the model",
    404: "knows no such model, or the address is wrong (many end in /v1)",
    408: "took too long",
    413: "says that the conversation is too long",
    429: "limits the rate",
}


class VisitorEndpoint:
    """A model behind an endpoint that a visitor named.

    Args:
        settings: with key and model.
        client: connects to the endpoint.

    Attributes:
        retried: how often the last answer was asked for again.
    """

    def __init__(self, settings: AgentSettings, client: VisitorClient) -> None:
        self._settings = settings
        self._client = client
        self._cut = cleaner(settings.secrets)
        self.model = settings.model or ""
        self.retried = 0
        self._request = ChatRequest(self.model, settings.max_tokens, settings.temperature)

    async def ask(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Answer:
        """One answer to a conversation.

        Raises:
            ContextFullError: the conversation is too long for the model.
            ModelError: the endpoint gave no answer; says why in our own words.
        """
        while True:
            reply = await self._post(json.dumps(self._request.body(messages, tools)).encode())
            if reply.status_code == 200:
                return self._read(reply.content, messages)
            if not self._request.adapt(reply.status_code, reply.text):
                raise _refusal(reply.status_code, reply.text)

    async def close(self) -> None:
        """Release the connection."""
        await self._client.close()

    async def _post(self, body: bytes) -> httpx.Response:
        """The endpoint's reply; temporary failures are retried as often as the settings say."""
        self.retried = 0
        for _ in range(self._settings.model_retries):
            with contextlib.suppress(PassingError):
                reply = await self._client.post("/chat/completions", body)
                if reply.status_code not in (408, 409, 429) and reply.status_code < 500:
                    return reply
            self.retried += 1
            await asyncio.sleep(RETRY_AFTER_S)
        return await self._client.post("/chat/completions", body)

    def _read(self, body: bytes, messages: Sequence[Message]) -> Answer:
        try:
            completion = json.loads(body, object_hook=lambda each: SimpleNamespace(**each))
            answer = read_answer(completion, messages, self._clean, self._settings.max_tokens)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            raise ModelError(
                "The endpoint sends no chat completions; its address often ends in /v1."
            ) from None
        if len(answer.calls) > MAX_CALLS:
            raise ModelError(
                f"The model made {len(answer.calls)} calls at once; at most {MAX_CALLS} are played."
            )
        return answer

    def _clean(self, text: str) -> str:
        """A text without the key, and without lone surrogates, which no page can be sent."""
        return self._cut(text).encode("utf-8", "replace").decode("utf-8")


def _refusal(status: int, said: str) -> ModelError:
    if status == 413 or (status == 400 and is_too_long(said)):
        return ContextFullError("The conversation is too long for the model.")
    if 300 <= status < 400:
        reason = "redirects, which is not followed: enter the address that it redirects to"
    elif status >= 500:
        reason = "failed"
    else:
        reason = REASONS.get(status, "refused the request; not every model supports tool calls")
    return ModelError(f"The endpoint {reason} (HTTP {status}).", hopeless=True)
