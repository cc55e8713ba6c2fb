"""Failed requests to a model's endpoint: reading what the endpoint said, and naming the cure."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from openenv_kit.agent.secrets import Clean
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import one_line
from openenv_kit.errors import ModelError

MAX_QUOTE = 300
"""Longest quote of an endpoint's own words, in characters."""
HOPELESS_STATUSES = (401, 402, 403, 404)
"""Statuses that every further request would get too."""
TEMPORARY_STATUSES = (408, 409, 429)
"""Statuses besides 5xx after which the same request may succeed."""
OVERFLOW_CODES = ("context_length_exceeded", "exceed_context_size_error", "context_window_exceeded")
"""Codes and types of a conversation that is too long: OpenAI and vLLM, llama.cpp, routers."""
OVERFLOW_WORDINGS = re.compile(
    r"context[ _-]?(length|size|window|limit)|maximum context|context the overflows"
    r"|(prompt|input|conversation|request) (is|was) too (long|large)"
    r"|too many (input |prompt )?tokens|maximum prompt length|model token limit"
    r"|input token count .* exceeds|input \(\d+ tokens\) is longer|range of input length"
    r"|(reduce|shorten) (the length of )?(the |your )?(input|messages?|prompt|conversation)"
    r"|prompt contains \d+ tokens, too large",
    re.IGNORECASE,
)
"""How endpoints word it, several of them without a code of their own."""


class ContextFullError(ModelError):
    """The conversation no longer fits into the model's context."""


class FailureKind(StrEnum):
    """Why a request brought no answer."""

    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    NOT_CONNECTED = "not_connected"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Failure:
    """One request that brought no answer.

    Attributes:
        kind: what happened.
        words: the endpoint's own words, or the network's, without secrets.
        status: HTTP status of a refusal.
        codes: the `code` and `type` of the endpoint's error object, in lower case.
        retry_after_s: pause that the endpoint asks for; None where it asks for none.
        may_retry: what the endpoint says about another attempt; None where it says nothing.
        redirected_to: address that answered, if it is another than the one that was asked.
    """

    kind: FailureKind
    words: str = ""
    status: int = 0
    codes: tuple[str, ...] = ()
    retry_after_s: float | None = None
    may_retry: bool | None = None
    redirected_to: str = ""

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later."""
        if self.may_retry is not None:
            return self.may_retry
        if self.kind is FailureKind.REFUSED:
            return self.status in TEMPORARY_STATUSES or self.status >= 500
        return True

    @property
    def is_context_overflow(self) -> bool:
        """Whether the conversation is too long for the model."""
        if self.status == 413 or any(code in OVERFLOW_CODES for code in self.codes):
            return True
        worded = OVERFLOW_WORDINGS.search(self.words) is not None
        return worded and (self.status in (400, 422) or self.status >= 500)

    @property
    def short(self) -> str:
        """A few words for a line of progress."""
        if self.kind is FailureKind.REFUSED:
            return f"status {self.status}: {self.words}" if self.words else f"status {self.status}"
        return {
            FailureKind.TIMED_OUT: "no answer in time",
            FailureKind.NOT_CONNECTED: f"no connection: {self.words}",
            FailureKind.UNREADABLE: f"no chat completion: {self.words}",
        }[self.kind]


def read_error_object(body: Any) -> Mapping[str, Any] | None:
    """Return the error object in a reply's body, in any of the shapes that endpoints use."""
    if isinstance(body, list) and len(body) == 1:  # Gemini wraps its errors in a list
        body = body[0]
    if not isinstance(body, Mapping):
        return None
    error = body.get("error")
    if isinstance(error, str) and error:
        return {**body, "message": body.get("message") or error}
    if isinstance(error, Mapping) and error:
        return error
    if body.get("object") == "error" or body.get("type") == "error":
        return body
    return None


def error_words(body: Any) -> str:
    """Return an endpoint's own words about an error, with its code or type first."""
    found = read_error_object(body)
    error: Any = body if found is None else found
    if not isinstance(error, Mapping):
        return str(error or "")
    message = error.get("message") or error.get("detail") or error.get("msg")
    if not message:
        return json.dumps(error)
    if not isinstance(message, str):
        message = json.dumps(message)
    code = next((each for each in _codes(error) if not each.isdecimal()), "")
    return f"{code}: {message}" if code and code not in message.lower() else message


def refusal_of(
    status: int, body: Any, headers: Mapping[str, str], clean: Clean, redirected_to: str = ""
) -> Failure:
    """Read a refused request.

    Args:
        status: HTTP status.
        body: the reply's body, decoded if it is JSON.
        headers: of the reply, by lower-case names.
        clean: removes secrets from a text.
        redirected_to: see `Failure`.
    """
    error = read_error_object(body)
    given = headers.get("x-should-retry")
    return Failure(
        FailureKind.REFUSED,
        one_line(clean(error_words(body)), MAX_QUOTE),
        status,
        _codes(error if error is not None else body),
        retry_after_s=retry_after_s(headers),
        may_retry={"true": True, "false": False}.get(str(given).lower()),
        redirected_to=redirected_to,
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the pause that a reply asks for, in seconds; None where it asks for none."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            pause_s = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        if 0 <= pause_s < float("inf"):
            return pause_s
    try:
        date = parsedate_to_datetime(headers["retry-after"])
        return max(0.0, date.timestamp() - time.time())
    except (KeyError, ValueError, OverflowError):
        return None


def explain(failure: Failure, settings: AgentSettings, endpoint: str, attempts: str) -> ModelError:
    """Return the error that names the setting to change.

    Args:
        failure: the last attempt's.
        settings: of the run.
        endpoint: address of the endpoint, without secrets.
        attempts: how often it was tried, in words.
    """
    said = as_sentence(failure.words)
    if failure.kind is FailureKind.TIMED_OUT:
        return ModelError(
            f"{settings.model} did not answer within {settings.model_timeout_s:g} s ({attempts}). "
            f"Lower MAX_TOKENS ({settings.max_tokens}), so that answers are shorter, raise "
            "MODEL_TIMEOUT_S, or choose a faster MODEL_NAME."
        )
    if failure.kind is FailureKind.NOT_CONNECTED:
        return ModelError(
            f"No connection to {endpoint} ({failure.words}), {attempts}: check API_BASE_URL."
        )
    if failure.kind is FailureKind.UNREADABLE:
        return ModelError(
            f"{endpoint} sends no chat completions ({failure.words}), {attempts}: check "
            "API_BASE_URL, which often ends in /v1."
        )
    if failure.is_context_overflow:
        return ContextFullError(
            f"The conversation is too long for {settings.model} ({failure.status}): {said} Choose "
            "a MODEL_NAME with more context, start the server with more, or lower MAX_TOKENS or "
            "MAX_TOOL_ROUNDS."
        )
    return _explain_refusal(failure, settings, endpoint, attempts)


def as_sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with a mark of its own."""
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."


def _explain_refusal(
    failure: Failure, settings: AgentSettings, endpoint: str, attempts: str
) -> ModelError:
    key, said = settings.key_variable or "API_KEY", as_sentence(failure.words)
    status = failure.status
    check_model = f"{said} Check MODEL_NAME (--model) and"
    reasons = {
        400: f"refused the request ({status}): {said} Check that MODEL_NAME ({settings.model}) "
        "supports tool calls.",
        # Some endpoints quote parts of the key here, so the endpoint is not quoted.
        401: f"refused the key (401): check {key}.",
        402: f"wants credits ({status}): {said} Add credits, or set {key} and API_BASE_URL for "
        "another endpoint.",
        403: f"forbids {settings.model} ({status}): {check_model} {key}.",
        404: f"knows no {settings.model} ({status}): {check_model} API_BASE_URL.",
        429: f"limits the rate (429), {attempts}: {said} Lower --concurrency, or raise "
        "MODEL_RETRIES.",
    }
    case = 400 if status == 422 else status
    if status != 401 and "insufficient_quota" in failure.words:
        case = 402
    reason = reasons.get(case, f"failed ({status}), {attempts}: {said}")
    return ModelError(f"{endpoint} {reason}", hopeless=case in HOPELESS_STATUSES)


def _codes(error: Any) -> tuple[str, ...]:
    """Return an error object's code, type and status in lower case, without empty ones."""
    if not isinstance(error, Mapping):
        return ()
    found = (error.get(name) for name in ("code", "type", "status"))
    return tuple(str(each).lower() for each in found if isinstance(each, str | int) and each)
