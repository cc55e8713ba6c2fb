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
    ChatMessage,
    ModelAnswer,
    ModelToolCall,
    decode_json_or_text,
    parse_answer,
    parse_completion,
)
from openenv_kit.agent.endpoint_failures import EndpointFailure, FailureKind, failure_from_response
from openenv_kit.agent.failure_messages import ContextFullError, FailedRequest, build_model_error
from openenv_kit.agent.redaction import build_redactor
from openenv_kit.agent.request_options import ChatRequest, RequestOptions
from openenv_kit.agent.servers import PrintStatus
from openenv_kit.agent.settings import AgentSettings, hide_url_password

__all__ = [
    "ChatMessage",
    "ContextFullError",
    "ModelAnswer",
    "ModelToolCall",
    "OpenAIEndpoint",
    "parse_answer",
]

CONNECT_TIMEOUT_S = 30.0
"""Longest wait for a connection to the endpoint."""
FIRST_RETRY_PAUSE_S = 0.5
MAX_RETRY_PAUSE_S = 8.0
"""Pauses between attempts double from the first to the longest; an endpoint may ask for others."""
PLACEHOLDER_API_KEY = "none"
"""Sent to a server of this machine where no key is set; such servers ignore it."""


class OpenAIEndpoint:
    """A model behind the endpoint of the settings, which name the model.

    Args:
        settings: of the run.
        print_status: told about attempts that failed.
    """

    def __init__(self, settings: AgentSettings, print_status: PrintStatus = lambda _: None) -> None:
        self._settings, self._print_status = settings, print_status
        self._redact = build_redactor(settings.secrets)
        self.model = settings.model or ""
        self._client = openai.AsyncOpenAI(
            api_key=settings.api_key or PLACEHOLDER_API_KEY,
            base_url=settings.api_base_url,
            max_retries=0,
        )
        self._request_options = RequestOptions(settings, self._endpoint_url, print_status)

    async def request_answer(
        self, messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]]
    ) -> ModelAnswer:
        """One answer to a conversation.

        Raises:
            ContextFullError: the conversation is too long for the model.
            ModelError: the endpoint gave no answer; names the setting to change.
        """
        deadline = time.monotonic() + self._settings.answer_timeout_s
        request = ChatRequest(messages, tools, self._settings.max_tokens)
        attempt = 1
        while True:
            body = self._request_options.build_body(request)
            limit = self._request_options.limit_max_tokens(request)
            found = await self._post_request(body, deadline - time.monotonic())
            if not isinstance(found, EndpointFailure):
                return parse_answer(found, messages, self._redact, limit)
            if self._request_options.adapt_to_failure(found, request, body):
                continue
            pause_s = _compute_retry_pause_s(found, attempt)
            left_s = deadline - time.monotonic()
            if (
                found.is_context_overflow
                or not found.is_temporary
                or attempt > self._settings.model_retries
                or pause_s >= left_s
            ):
                context = FailedRequest(
                    self._settings,
                    self._endpoint_url,
                    self._describe_attempts(attempt),
                    limit,
                    any(message.get("tool_calls") for message in messages),
                )
                raise build_model_error(found, context)
            attempt += 1
            self._print_status(
                f"{self.model}: attempt {attempt} of {self._settings.model_retries + 1} in "
                f"{pause_s:.1f} s, after {found.summary}"
            )
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Release the connections."""
        await self._client.close()

    async def _post_request(
        self, body: dict[str, Any], remaining_s: float
    ) -> dict[str, Any] | EndpointFailure:
        """Make one request; returns the chat completion, or why there is none."""
        timeout_s = max(0.01, min(self._settings.model_timeout_s, remaining_s))
        patience = openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            # The client's own timeout starts anew with every byte that arrives.
            async with asyncio.timeout(timeout_s):
                reply = await self._client.chat.completions.with_raw_response.create(
                    **body, timeout=patience
                )
                raw, redirected_to = reply.content, self._find_redirect_url(reply.http_response)
        except openai.APIStatusError as error:
            response = error.response
            return failure_from_response(
                response.status_code,
                decode_json_or_text(response.content),
                dict(response.headers),
                self._redact,
                self._find_redirect_url(response),
            )
        except openai.APITimeoutError as error:
            if type(error.__cause__).__name__ == "ConnectTimeout":
                return EndpointFailure(
                    FailureKind.NOT_CONNECTED, f"no connection in {timeout_s:g} s"
                )
            return EndpointFailure(FailureKind.TIMED_OUT)
        except TimeoutError:
            return EndpointFailure(FailureKind.TIMED_OUT)
        except openai.APIConnectionError as error:
            return EndpointFailure(FailureKind.NOT_CONNECTED, self._redact(_describe_cause(error)))
        found = parse_completion(raw, self._redact)
        return (
            replace(found, redirect_url=redirected_to)
            if isinstance(found, EndpointFailure)
            else found
        )

    def _find_redirect_url(self, response: Any) -> str:
        """Return the address that answered, if it is another than the one that was asked."""
        return (
            self._redact(hide_url_password(str(response.url).split("?")[0]))
            if response.history
            else ""
        )

    @property
    def _endpoint_url(self) -> str:
        return self._redact(hide_url_password(str(self._client.base_url)))

    def _describe_attempts(self, attempt: int) -> str:
        if attempt > self._settings.model_retries:
            return f"attempt {attempt}, the last"
        limit_s = self._settings.answer_timeout_s
        return f"attempt {attempt}, the last within {limit_s:g} s (MODEL_ANSWER_TIMEOUT_S)"


def _compute_retry_pause_s(failure: EndpointFailure, attempt: int) -> float:
    """Return the pause before the next attempt, in seconds."""
    if failure.retry_after_s is not None:
        return failure.retry_after_s
    if failure.kind is FailureKind.TIMED_OUT:  # that was pause enough
        return 0.0
    # Spread, so that episodes that run at the same time do not all return together.
    return min(FIRST_RETRY_PAUSE_S * 2 ** (attempt - 1), MAX_RETRY_PAUSE_S) * random.uniform(
        0.75, 1.0
    )


def _describe_cause(error: BaseException) -> str:
    cause = error.__cause__
    return (str(cause) or type(cause).__name__) if cause else str(error)
