"""One OpenAI-compatible endpoint: asking it, and explaining what went wrong.

The openai client itself retries, with backoff, what may be temporary (408, 409, 429, 5xx, a
timeout, a lost connection); anything else is a `ModelError` that names the setting to change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from openenv_kit.agent.chat import (
    MAX_QUOTE,
    Answer,
    ChatRequest,
    ContextFullError,
    Message,
    is_too_long,
    read_answer,
)
from openenv_kit.agent.secrets import cleaner
from openenv_kit.agent.settings import AgentSettings, shown_url
from openenv_kit.agent.stdout import one_line
from openenv_kit.errors import ModelError

UNREADABLE_TRIES = 2
HOPELESS = (401, 402, 403, 404)
"""Statuses that every further call would get too."""


class Endpoint:
    """A model behind the endpoint of the settings, which hold a key and the model's name."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._clean = cleaner(settings.secrets)
        self.model = settings.model or ""
        self._client = openai.AsyncOpenAI(
            api_key=settings.api_key,
            base_url=settings.api_base_url,
            timeout=settings.model_timeout_s,
            max_retries=settings.model_retries,
        )
        self._request = ChatRequest(self.model, settings.max_tokens, settings.temperature)

    async def ask(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Answer:
        """One answer to a conversation.

        Raises:
            ContextFullError: the conversation is too long for the model.
            ModelError: the endpoint gave no answer; names the setting to change.
        """
        unreadable = 0
        while True:
            try:
                completion = await self._client.chat.completions.create(
                    **self._request.body(messages, tools)
                )
            except openai.APIStatusError as error:
                if self._request.adapt(error.status_code, _said(error)):
                    continue
                raise self._status_error(error) from None
            except openai.APITimeoutError:
                raise ModelError(
                    f"{self.model} did not answer within {self._settings.model_timeout_s:g} s, "
                    f"{self._tries}: raise MODEL_TIMEOUT_S, or choose another MODEL_NAME."
                ) from None
            except openai.APIConnectionError as error:
                raise ModelError(
                    f"No connection to {self._where} ({self._clean(_cause(error))}), "
                    f"{self._tries}: check API_BASE_URL."
                ) from None
            except (openai.APIError, ValueError) as error:  # a body that is not JSON
                problem = self._clean(str(error))
            else:
                if isinstance(completion, ChatCompletion):
                    return read_answer(completion, messages, self._clean, self._settings.max_tokens)
                problem = f"got {type(completion).__name__}"
            unreadable += 1
            if unreadable >= UNREADABLE_TRIES:
                raise ModelError(
                    f"{self._where} sends no chat completions ({one_line(problem, MAX_QUOTE)}): "
                    "check API_BASE_URL, which often ends in /v1."
                )

    async def close(self) -> None:
        """Release the connections."""
        await self._client.close()

    @property
    def _where(self) -> str:
        return self._clean(shown_url(str(self._client.base_url)))

    @property
    def _tries(self) -> str:
        return f"tried {self._settings.model_retries + 1} time(s)"

    def _status_error(self, error: openai.APIStatusError) -> ModelError:
        code, key = error.status_code, self._settings.key_variable or "API_KEY"
        said = one_line(self._clean(_said(error)), MAX_QUOTE)
        if code == 413 or (code == 400 and is_too_long(said)):
            return ContextFullError(
                f"The conversation is too long for {self.model} ({code}): {said} Choose a "
                "MODEL_NAME with more context, or lower MAX_TOOL_ROUNDS."
            )
        tried = f"{said} Check MODEL_NAME (--model) and"
        reasons = {
            400: f"refused the request ({code}): {said} Check that MODEL_NAME ({self.model}) "
            "supports tool calls.",
            # Some quote parts of the key here, so the endpoint is not quoted.
            401: f"refused the key (401): check {key}.",
            402: f"wants credits ({code}): {said} Add credits, or set {key} and API_BASE_URL for "
            "another endpoint.",
            403: f"forbids {self.model} ({code}): {tried} {key}.",
            404: f"knows no {self.model} ({code}): {tried} API_BASE_URL.",
            429: f"limits the rate (429), {self._tries}: {said} Lower --concurrency, or raise "
            "MODEL_RETRIES.",
        }
        case = 402 if code != 401 and "insufficient_quota" in said else 400 if code == 422 else code
        reason = reasons.get(case, f"failed ({code}), {self._tries}: {said}")
        return ModelError(f"{self._where} {reason}", hopeless=case in HOPELESS)


def _said(error: openai.APIStatusError) -> str:
    """The endpoint's own words about a refusal."""
    body = error.body
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            words = [str(inner[name]) for name in ("code", "message") if inner.get(name)]
            return ": ".join(words) or str(body)
        return str(inner)
    return str(body or error.message)


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    return (str(cause) or type(cause).__name__) if cause else str(error)
