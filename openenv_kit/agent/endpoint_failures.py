"""Describes failed requests to a model's endpoint and decides whether to retry them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from openenv_kit.agent.completion_limit import parse_or_guess_max_answer_tokens
from openenv_kit.agent.redaction import Redact
from openenv_kit.agent.stdout import format_one_line

MAX_QUOTE_CHARACTERS = 300
"""Longest quote of an endpoint's error message, in characters."""
TOOL_PARSER_OPTIONS_PATTERN = re.compile("--jinja|tool-call-parser|enable-auto-tool-choice")
"""Matches errors of model servers that need one of these options to accept tools."""
TEMPORARY_STATUSES = (408, 409, 429)
"""HTTP statuses, besides 5xx, after which the same request may succeed later."""
CONTEXT_OVERFLOW_CODES = (
    "context_length_exceeded",
    "exceed_context_size_error",
    "context_window_exceeded",
)
"""Error codes of OpenAI, vLLM, llama.cpp and routers for a conversation that is too long."""
CONTEXT_OVERFLOW_PATTERN = re.compile(
    r"context[ _-]?(length|size|window|limit)|maximum context|context the overflows"
    r"|(prompt|input|conversation|request) (is|was) too (long|large)"
    r"|too many (input |prompt )?tokens|maximum prompt length|model token limit"
    r"|input token count .* exceeds|input \(\d+ tokens\) is longer|range of input length"
    r"|(reduce|shorten) (the length of )?(the |your )?(input|messages?|prompt|conversation)"
    r"|prompt contains \d+ tokens, too large",
    re.IGNORECASE,
)
"""Matches error messages about a conversation that is too long, for endpoints without a code."""


class FailureKind(StrEnum):
    """Reasons why a request returned no usable response."""

    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    NOT_CONNECTED = "not_connected"
    UNREADABLE = "unreadable"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True)
class EndpointFailure:
    """A request that returned no usable response.

    Attributes:
        kind: reason for the failure.
        message: error message of the endpoint or of the network, without secrets.
        status: HTTP status of an error response; 0 if there was no error response.
        error_codes: values of `code`, `type` and `status` in the error object, in lower case.
        retry_after_s: pause that the endpoint requests, in seconds; None if it requests no pause.
        may_retry: whether the endpoint permits another attempt; None if it does not specify this.
        redirect_url: URL that the request was redirected to; empty if it was not redirected.
    """

    kind: FailureKind
    message: str = ""
    status: int = 0
    error_codes: tuple[str, ...] = ()
    retry_after_s: float | None = None
    may_retry: bool | None = None
    redirect_url: str = ""

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later."""
        if self.may_retry is not None:
            return self.may_retry
        if self.kind is not FailureKind.REFUSED:
            return not self.redirect_url
        if "insufficient_quota" in self.error_codes:
            return False
        if TOOL_PARSER_OPTIONS_PATTERN.search(self.message):
            return False
        return self.status in TEMPORARY_STATUSES or self.status >= 500

    @property
    def is_context_overflow(self) -> bool:
        """Whether the conversation is too long for the model."""
        if self.status == 413 or any(code in CONTEXT_OVERFLOW_CODES for code in self.error_codes):
            return True
        if self.status not in (400, 422) and self.status < 500:
            return False
        return CONTEXT_OVERFLOW_PATTERN.search(self.message) is not None

    def parse_or_guess_max_answer_tokens(self, requested_tokens: int) -> int | None:
        """Return the completion limit from the error message; see the function of this name."""
        if self.status not in (400, 422):
            return None
        return parse_or_guess_max_answer_tokens(self.message, requested_tokens)

    @property
    def summary(self) -> str:
        """Short description for a status message."""
        match self.kind:
            case FailureKind.REFUSED:
                detail = f": {self.message}" if self.message else ""
                return f"status {self.status}{detail}"
            case FailureKind.TIMED_OUT:
                return "no answer in time"
            case FailureKind.NOT_CONNECTED:
                return f"no connection: {self.message}"
            case FailureKind.UNREADABLE:
                return f"no chat completion: {self.message}"
            case FailureKind.NO_ANSWER:
                return f"a reply without an answer: {self.message}"


def find_error_object(body: Any) -> Mapping[str, Any] | None:
    """Find the error object in a response body, in any of the formats that endpoints use.

    Returns:
        The object, which may contain `message`, `code` and `type`; None if there is no error.
    """
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


def infer_http_status(error: Mapping[str, Any]) -> int:
    """Infer an HTTP status from an error object that was sent with status 200."""
    for code in _list_lowercase_error_codes(error):
        if code.isdecimal() and 400 <= int(code) <= 599:
            return int(code)
        if "rate_limit" in code or code == "resource_exhausted":
            return 429
    return 502


def format_error_code_and_message(body: Any) -> str:
    """Return the error message in a response body, prefixed with the error's code or type."""
    error_object = find_error_object(body)
    error: Any = body if error_object is None else error_object
    if not isinstance(error, Mapping):
        return str(error or "")
    message = error.get("message") or error.get("detail") or error.get("msg")
    if not message:
        return json.dumps(error)
    if not isinstance(message, str):
        message = json.dumps(message)
    # Routers add the provider's own error message as metadata.
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping):
        provider_parts = (metadata.get("provider_name"), metadata.get("raw"))
        message = ": ".join([message, *(str(part) for part in provider_parts if part)])
    code = next((code for code in _list_lowercase_error_codes(error) if not code.isdecimal()), "")
    return f"{code}: {message}" if code and code not in message.lower() else message


def build_failure_from_error_response(
    status: int, body: Any, headers: Mapping[str, str], redact: Redact, redirect_url: str = ""
) -> EndpointFailure:
    """Convert an error response to an `EndpointFailure` of kind `REFUSED`.

    Args:
        status: HTTP status of the response.
        body: body of the response: a JSON value, or a string if it is not JSON.
        headers: headers of the response, by lower-case name.
        redact: function that removes secrets from a string.
        redirect_url: see `EndpointFailure`.
    """
    error = find_error_object(body)
    retry_header = headers.get("x-should-retry", "").lower()
    return EndpointFailure(
        FailureKind.REFUSED,
        format_one_line(redact(format_error_code_and_message(body)), MAX_QUOTE_CHARACTERS),
        status,
        _list_lowercase_error_codes(error if error is not None else body),
        retry_after_s=parse_retry_after_s(headers),
        may_retry={"true": True, "false": False}.get(retry_header),
        redirect_url=redirect_url,
    )


def parse_retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the pause that response headers request, in seconds; None if they request none."""
    units_per_second = {"retry-after-ms": 1000.0, "retry-after": 1.0}
    for name, divisor in units_per_second.items():
        try:
            pause_s = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        if 0 <= pause_s < float("inf"):
            return pause_s
    try:  # the header may also contain a date
        date = parsedate_to_datetime(headers["retry-after"])
        return max(0.0, date.timestamp() - time.time())
    except (KeyError, ValueError, OverflowError):
        return None


def _list_lowercase_error_codes(error: Any) -> tuple[str, ...]:
    """Return the non-empty code, type and status of an error object, in lower case."""
    if not isinstance(error, Mapping):
        return ()
    codes = (error.get(name) for name in ("code", "type", "status"))
    return tuple(str(code).lower() for code in codes if isinstance(code, str | int) and code)
