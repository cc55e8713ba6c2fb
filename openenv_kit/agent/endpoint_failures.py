"""Failed requests to a model's endpoint: what the endpoint said, and whether to try again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from openenv_kit.agent.completion_limit import parse_max_answer_tokens
from openenv_kit.agent.redaction import Redact
from openenv_kit.agent.stdout import format_one_line

MAX_QUOTE_CHARACTERS = 300
"""Longest quote of an endpoint's own words, in characters."""
TOOL_PARSER_OPTIONS_PATTERN = re.compile("--jinja|tool-call-parser|enable-auto-tool-choice")
"""Options of the model's server without which it refuses tools."""
TEMPORARY_STATUSES = (408, 409, 429)
"""Statuses besides 5xx after which the same request may succeed."""
CONTEXT_OVERFLOW_CODES = (
    "context_length_exceeded",
    "exceed_context_size_error",
    "context_window_exceeded",
)
"""Codes and types of a conversation that is too long: OpenAI and vLLM, llama.cpp, routers."""
CONTEXT_OVERFLOW_PATTERN = re.compile(
    r"context[ _-]?(length|size|window|limit)|maximum context|context the overflows"
    r"|(prompt|input|conversation|request) (is|was) too (long|large)"
    r"|too many (input |prompt )?tokens|maximum prompt length|model token limit"
    r"|input token count .* exceeds|input \(\d+ tokens\) is longer|range of input length"
    r"|(reduce|shorten) (the length of )?(the |your )?(input|messages?|prompt|conversation)"
    r"|prompt contains \d+ tokens, too large",
    re.IGNORECASE,
)
"""How endpoints word it, several of them without a code of their own."""


class FailureKind(StrEnum):
    """Why a request brought no answer."""

    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    NOT_CONNECTED = "not_connected"
    UNREADABLE = "unreadable"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True)
class EndpointFailure:
    """One request that brought no answer.

    Attributes:
        kind: what happened.
        message: the endpoint's own words, or the network's, without secrets.
        status: HTTP status of a refusal.
        error_codes: the `code` and `type` of the endpoint's error object, in lower case.
        retry_after_s: pause that the endpoint asks for; None where it asks for none.
        may_retry: what the endpoint says about another attempt; None where it says nothing.
        redirect_url: address that answered, if it is another than the one that was asked.
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
        if self.kind is FailureKind.REFUSED:
            if "insufficient_quota" in self.error_codes or TOOL_PARSER_OPTIONS_PATTERN.search(
                self.message
            ):
                return False
            return self.status in TEMPORARY_STATUSES or self.status >= 500
        return not self.redirect_url

    @property
    def is_context_overflow(self) -> bool:
        """Whether the conversation is too long for the model."""
        if self.status == 413 or any(code in CONTEXT_OVERFLOW_CODES for code in self.error_codes):
            return True
        worded = CONTEXT_OVERFLOW_PATTERN.search(self.message) is not None
        return worded and (self.status in (400, 422) or self.status >= 500)

    def parse_max_answer_tokens(self, requested_tokens: int) -> int | None:
        """Return how many tokens an answer may have, see `parse_max_answer_tokens`."""
        if self.status not in (400, 422):
            return None
        return parse_max_answer_tokens(self.message, requested_tokens)

    @property
    def summary(self) -> str:
        """A few words for a line of progress."""
        if self.kind is FailureKind.REFUSED:
            return (
                f"status {self.status}: {self.message}" if self.message else f"status {self.status}"
            )
        return {
            FailureKind.TIMED_OUT: "no answer in time",
            FailureKind.NOT_CONNECTED: f"no connection: {self.message}",
            FailureKind.UNREADABLE: f"no chat completion: {self.message}",
            FailureKind.NO_ANSWER: f"a reply without an answer: {self.message}",
        }[self.kind]


def find_error_object(body: Any) -> Mapping[str, Any] | None:
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


def infer_http_status(error: Mapping[str, Any]) -> int:
    """Return the HTTP status that an error object in a reply of status 200 stands for."""
    for code in _list_error_codes(error):
        if code.isdecimal() and 400 <= int(code) <= 599:
            return int(code)
        if "rate_limit" in code or code == "resource_exhausted":
            return 429
    return 502


def format_error_message(body: Any) -> str:
    """Return an endpoint's own words about an error, with its code or type first."""
    found = find_error_object(body)
    error: Any = body if found is None else found
    if not isinstance(error, Mapping):
        return str(error or "")
    message = error.get("message") or error.get("detail") or error.get("msg")
    if not message:
        return json.dumps(error)
    if not isinstance(message, str):
        message = json.dumps(message)
    # A router hands on what the provider said.
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping):
        further = (metadata.get("provider_name"), metadata.get("raw"))
        message = ": ".join([message, *(str(each) for each in further if each)])
    code = next((each for each in _list_error_codes(error) if not each.isdecimal()), "")
    return f"{code}: {message}" if code and code not in message.lower() else message


def failure_from_response(
    status: int, body: Any, headers: Mapping[str, str], redact: Redact, redirect_url: str = ""
) -> EndpointFailure:
    """Read a refused request.

    Args:
        status: HTTP status.
        body: the reply's body, decoded if it is JSON.
        headers: of the reply, by lower-case names.
        redact: removes secrets from a text.
        redirect_url: see `EndpointFailure`.
    """
    error = find_error_object(body)
    given = headers.get("x-should-retry")
    return EndpointFailure(
        FailureKind.REFUSED,
        format_one_line(redact(format_error_message(body)), MAX_QUOTE_CHARACTERS),
        status,
        _list_error_codes(error if error is not None else body),
        retry_after_s=parse_retry_after_s(headers),
        may_retry={"true": True, "false": False}.get(str(given).lower()),
        redirect_url=redirect_url,
    )


def parse_retry_after_s(headers: Mapping[str, str]) -> float | None:
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


def _list_error_codes(error: Any) -> tuple[str, ...]:
    """Return an error object's code, type and status in lower case, without empty ones."""
    if not isinstance(error, Mapping):
        return ()
    found = (error.get(name) for name in ("code", "type", "status"))
    return tuple(str(each).lower() for each in found if isinstance(each, str | int) and each)
