"""One OpenAI-compatible endpoint: asking it, reading its answers, trying again.

The openai client makes each request. What failed for a reason that may pass (408, 409, 429, 5xx, a
timeout, a lost connection, a reply without an answer) is tried again here, so that one bound holds
for all attempts together and each of them is reported; anything else is a `ModelError` that names
the setting to change.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import openai

from openenv_kit.agent.completions import (
    Answer,
    Message,
    ToolCall,
    decode_body,
    read_answer,
    read_completion,
)
from openenv_kit.agent.endpoint_failures import Failure, FailureKind, refusal_of
from openenv_kit.agent.failure_messages import ContextFullError, RequestContext, explain
from openenv_kit.agent.redaction import cleaner
from openenv_kit.agent.request_options import ChatRequest, RequestOptions
from openenv_kit.agent.servers import Say
from openenv_kit.agent.settings import AgentSettings, shown_url

__all__ = ["Answer", "ContextFullError", "Endpoint", "Message", "ToolCall", "read_answer"]

CONNECT_TIMEOUT_S = 30.0
"""Longest wait for a connection to the endpoint."""
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 8.0
"""Pauses between attempts double from the first to the longest; an endpoint may ask for others."""
PLACEHOLDER_KEY = "none"
"""Sent to a server of this machine where no key is set; such servers ignore it."""


class Endpoint:
    """A model behind the endpoint of the settings, which name the model.

    Args:
        settings: of the run.
        say: told about attempts that failed.
    """

    def __init__(self, settings: AgentSettings, say: Say = lambda _: None) -> None:
        self._settings, self._say = settings, say
        self._clean = cleaner(settings.secrets)
        self.model = settings.model or ""
        self._client = openai.AsyncOpenAI(
            api_key=settings.api_key or PLACEHOLDER_KEY,
            base_url=settings.api_base_url,
            max_retries=0,
        )
        self._options = RequestOptions(settings, self._where, say)

    async def ask(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Answer:
        """One answer to a conversation.

        Raises:
            ContextFullError: the conversation is too long for the model.
            ModelError: the endpoint gave no answer; names the setting to change.
        """
        deadline = time.monotonic() + self._settings.answer_timeout_s
        request = ChatRequest(messages, tools, self._settings.max_tokens)
        attempt = 1
        while True:
            body = self._options.body(request)
            limit = self._options.max_tokens(request)
            found = await self._post(body, deadline - time.monotonic())
            if not isinstance(found, Failure):
                return read_answer(found, messages, self._clean, limit)
            if self._options.adapt(found, request, body):
                continue
            pause_s = _pause_s(found, attempt)
            left_s = deadline - time.monotonic()
            if (
                found.is_context_overflow
                or not found.is_temporary
                or attempt > self._settings.model_retries
                or pause_s >= left_s
            ):
                context = RequestContext(
                    self._settings,
                    self._where,
                    self._attempts(attempt),
                    limit,
                    any(message.get("tool_calls") for message in messages),
                )
                raise explain(found, context)
            attempt += 1
            self._say(
                f"{self.model}: attempt {attempt} of {self._settings.model_retries + 1} in "
                f"{pause_s:.1f} s, after {found.short}"
            )
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Release the connections."""
        await self._client.close()

    async def _post(self, request: dict[str, Any], left_s: float) -> dict[str, Any] | Failure:
        """Make one request; returns the chat completion, or why there is none."""
        timeout_s = max(0.01, min(self._settings.model_timeout_s, left_s))
        patience = openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            # The client's own timeout starts anew with every byte that arrives.
            async with asyncio.timeout(timeout_s):
                reply = await self._client.chat.completions.with_raw_response.create(
                    **request, timeout=patience
                )
                raw, redirected_to = reply.content, self._redirect_of(reply.http_response)
        except openai.APIStatusError as error:
            response = error.response
            return refusal_of(
                response.status_code,
                decode_body(response.content),
                dict(response.headers),
                self._clean,
                self._redirect_of(response),
            )
        except openai.APITimeoutError as error:
            if type(error.__cause__).__name__ == "ConnectTimeout":
                return Failure(FailureKind.NOT_CONNECTED, f"no connection in {timeout_s:g} s")
            return Failure(FailureKind.TIMED_OUT)
        except TimeoutError:
            return Failure(FailureKind.TIMED_OUT)
        except openai.APIConnectionError as error:
            return Failure(FailureKind.NOT_CONNECTED, self._clean(_cause(error)))
        found = read_completion(raw, self._clean)
        return replace(found, redirected_to=redirected_to) if isinstance(found, Failure) else found

    def _redirect_of(self, response: Any) -> str:
        """Return the address that answered, if it is another than the one that was asked."""
        return self._clean(shown_url(str(response.url).split("?")[0])) if response.history else ""

    @property
    def _where(self) -> str:
        return self._clean(shown_url(str(self._client.base_url)))

    def _attempts(self, attempt: int) -> str:
        if attempt > self._settings.model_retries:
            return f"attempt {attempt}, the last"
        limit_s = self._settings.answer_timeout_s
        return f"attempt {attempt}, the last within {limit_s:g} s (MODEL_ANSWER_TIMEOUT_S)"


def _pause_s(failure: Failure, attempt: int) -> float:
    """Return the pause before the next attempt, in seconds."""
    if failure.retry_after_s is not None:
        return failure.retry_after_s
    if failure.kind is FailureKind.TIMED_OUT:  # that was pause enough
        return 0.0
    # Spread, so that episodes that run at the same time do not all return together.
    return min(FIRST_PAUSE_S * 2 ** (attempt - 1), MAX_PAUSE_S) * random.uniform(0.75, 1.0)


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    return (str(cause) or type(cause).__name__) if cause else str(error)
