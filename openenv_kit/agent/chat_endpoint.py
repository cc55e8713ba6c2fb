"""Sends requests to an OpenAI-compatible endpoint and retries them after temporary failures.

The openai client sends each request. This module, not the client, retries requests that failed for
a temporary reason (status 408, 409, 429 or 5xx, a timeout, a lost connection, a response without a
message), so that one time limit covers all attempts and each attempt is reported. Other failures
raise a `ModelError` that names the setting to change.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import openai

from openenv_kit.agent.completions import (
    ChatCompletionJson,
    ChatMessage,
    ModelAnswer,
    decode_json_or_text,
    parse_completion_or_failure,
    parse_model_answer,
)
from openenv_kit.agent.endpoint_failures import (
    EndpointFailure,
    FailureKind,
    build_failure_from_error_response,
)
from openenv_kit.agent.failure_messages import FailedRequest, build_model_error
from openenv_kit.agent.redaction import build_redactor
from openenv_kit.agent.request_options import ChatRequest, RequestOptions
from openenv_kit.agent.servers import PrintStatus
from openenv_kit.agent.settings import AgentSettings, hide_url_credentials

CONNECT_TIMEOUT_S = 30.0
"""Longest wait for a connection to the endpoint, in seconds."""
FIRST_RETRY_PAUSE_S = 0.5
MAX_RETRY_PAUSE_S = 8.0
"""Bounds of the pause between attempts, in seconds. The pause doubles with each attempt.

If the endpoint requests a pause, for example with `Retry-After`, the requested value is used.
"""
MIN_PAUSE_SHARE = 0.75
"""Minimum of the random factor for pauses, so that parallel episodes do not all retry at once."""
MIN_REQUEST_TIMEOUT_S = 0.01
PLACEHOLDER_API_KEY = "none"
"""API key that is sent to a local server if no key is set; local servers ignore it."""


class _HttpResponse(Protocol):
    """The attributes of the openai client's HTTP responses that this module reads."""

    @property
    def url(self) -> object:
        """URL of the response, after any redirects."""

    @property
    def history(self) -> Sequence[object]:
        """Earlier responses that redirected the request; empty if it was not redirected."""


class OpenAIEndpoint:
    """Client for the model endpoint that is configured in a run's settings.

    Args:
        settings: settings of the run.
        print_status: prints a message for each failed attempt.
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
        self._request_options = RequestOptions(
            settings, self._endpoint_url_without_secrets, print_status
        )

    async def request_answer(
        self, messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]]
    ) -> ModelAnswer:
        """Send a conversation to the model and return its response.

        Args:
            messages: messages of the conversation.
            tools: tools of the episode, in the format of chat completions.

        Raises:
            ContextFullError: the conversation is too long for the model.
            ModelError: no attempt returned a response. The message names the setting to change.
        """
        deadline = time.monotonic() + self._settings.answer_timeout_s
        request = ChatRequest(messages, tools, self._settings.max_tokens)
        attempt = 1
        while True:
            body = self._request_options.build_request_body(request)
            limit = self._request_options.compute_max_tokens_to_send(request)
            outcome = await self._post_chat_completion(body, deadline - time.monotonic())
            if not isinstance(outcome, EndpointFailure):
                return parse_model_answer(outcome, messages, self._redact, limit)
            if self._request_options.change_options_after_failure(outcome, request, body):
                continue
            pause_s = _compute_retry_pause_s(outcome, attempt)
            may_retry = outcome.is_temporary and not outcome.is_context_overflow
            has_time_left = pause_s < deadline - time.monotonic()
            if not may_retry or not has_time_left or attempt > self._settings.model_retries:
                failed_request = FailedRequest(
                    settings=self._settings,
                    endpoint_url=self._endpoint_url_without_secrets,
                    attempts_text=self._describe_last_attempt_and_limit(attempt),
                    max_tokens=limit,
                    has_earlier_answers=any(each["role"] == "assistant" for each in messages),
                    has_earlier_tool_calls=any(message.get("tool_calls") for message in messages),
                )
                raise build_model_error(outcome, failed_request)
            attempt += 1
            self._print_status(
                f"{self.model}: attempt {attempt} of {self._settings.model_retries + 1} in "
                f"{pause_s:.1f} s, after {outcome.summary}"
            )
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Close the connections to the endpoint."""
        await self._client.close()

    async def _post_chat_completion(
        self, body: dict[str, Any], remaining_s: float
    ) -> ChatCompletionJson | EndpointFailure:
        """Send one request; return the chat completion or, if it failed, the failure."""
        timeout_s = max(MIN_REQUEST_TIMEOUT_S, min(self._settings.model_timeout_s, remaining_s))
        client_timeout = openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            # The client's timeout restarts with every received byte, so a total limit is needed.
            async with asyncio.timeout(timeout_s):
                reply = await self._client.chat.completions.with_raw_response.create(
                    **body, timeout=client_timeout
                )
                raw_body = reply.content
                redirect_url = self._get_final_url_if_redirected(reply.http_response)
        except openai.APIStatusError as error:
            response = error.response
            return build_failure_from_error_response(
                response.status_code,
                decode_json_or_text(response.content),
                dict(response.headers),
                self._redact,
                self._get_final_url_if_redirected(response),
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
            return EndpointFailure(
                FailureKind.NOT_CONNECTED, self._redact(_get_message_of_error_cause(error))
            )
        outcome = parse_completion_or_failure(raw_body, self._redact)
        if isinstance(outcome, EndpointFailure):
            return replace(outcome, redirect_url=redirect_url)
        return outcome

    def _get_final_url_if_redirected(self, response: _HttpResponse) -> str:
        """Return the final URL of a redirected request; empty if it was not redirected."""
        if not response.history:
            return ""
        return self._redact(hide_url_credentials(str(response.url).split("?")[0]))

    @property
    def _endpoint_url_without_secrets(self) -> str:
        """URL of the endpoint for messages, without its user name, password and API key."""
        return self._redact(hide_url_credentials(str(self._client.base_url)))

    def _describe_last_attempt_and_limit(self, attempt_number: int) -> str:
        if attempt_number > self._settings.model_retries:
            return f"attempt {attempt_number}, the last"
        limit_s = self._settings.answer_timeout_s
        return f"attempt {attempt_number}, the last within {limit_s:g} s (MODEL_ANSWER_TIMEOUT_S)"


def _compute_retry_pause_s(failure: EndpointFailure, attempt_number: int) -> float:
    """Return how long to wait before the next attempt, in seconds."""
    if failure.retry_after_s is not None:
        return failure.retry_after_s
    if failure.kind is FailureKind.TIMED_OUT:  # the endpoint has already had enough time
        return 0.0
    longest_s = min(FIRST_RETRY_PAUSE_S * 2 ** (attempt_number - 1), MAX_RETRY_PAUSE_S)
    return longest_s * random.uniform(MIN_PAUSE_SHARE, 1.0)


def _get_message_of_error_cause(error: BaseException) -> str:
    cause = error.__cause__
    if cause is None:
        return str(error)
    return str(cause) or type(cause).__name__
