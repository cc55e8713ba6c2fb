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
from urllib.parse import urlsplit

from openenv_kit.agent.answer_limit import find_answer_limit, is_about_context
from openenv_kit.agent.secrets import Clean
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.stdout import one_line
from openenv_kit.errors import ModelError
from openenv_kit.serving.settings import is_loopback

MAX_QUOTE = 300
"""Longest quote of an endpoint's own words, in characters."""
KEY_WORDS = re.compile(r"api[ _-]?key.{0,20}(not valid|invalid)|invalid.api.key", re.IGNORECASE)
CREDIT_WORDS = re.compile(
    r"insufficient[ _](balance|credits?|funds)|credit balance|out of credits|billing", re.IGNORECASE
)
MODEL_WORDS = re.compile(
    r"model.{0,60}(not found|not exist|not available|unavailable|decommissioned|not a valid model)"
    r"|(invalid|unknown|no such|not a valid) model",
    re.IGNORECASE,
)
TOOL_WORDS = re.compile(r"\btools?\b.{0,40}\bsupport|support.{0,40}\btools?\b", re.IGNORECASE)
"""Words by which refusals of one status can be told apart."""
SERVER_OPTIONS = re.compile("--jinja|tool-call-parser|enable-auto-tool-choice")
"""Options of the model's server without which it refuses tools."""
REDIRECTED_STATUSES = (301, 302, 303, 307, 308, 401, 403, 404, 405)
"""Statuses that a redirected request gets because it lost its method, its body or its key."""
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


TRY_LATER = (
    "The failure is the provider's: try later, raise MODEL_RETRIES, or choose another MODEL_NAME "
    "or API_BASE_URL."
)


class ContextFullError(ModelError):
    """The conversation no longer fits into the model's context."""


class FailureKind(StrEnum):
    """Why a request brought no answer."""

    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    NOT_CONNECTED = "not_connected"
    UNREADABLE = "unreadable"
    NO_ANSWER = "no_answer"


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
            if "insufficient_quota" in self.codes or SERVER_OPTIONS.search(self.words):
                return False
            return self.status in TEMPORARY_STATUSES or self.status >= 500
        return not self.redirected_to

    @property
    def is_context_overflow(self) -> bool:
        """Whether the conversation is too long for the model."""
        if self.status == 413 or any(code in OVERFLOW_CODES for code in self.codes):
            return True
        worded = OVERFLOW_WORDINGS.search(self.words) is not None
        return worded and (self.status in (400, 422) or self.status >= 500)

    def answer_limit(self, asked_tokens: int) -> int | None:
        """Return how many tokens an answer may have, see `find_answer_limit`."""
        if self.status not in (400, 422):
            return None
        return find_answer_limit(self.words, asked_tokens)

    @property
    def short(self) -> str:
        """A few words for a line of progress."""
        if self.kind is FailureKind.REFUSED:
            return f"status {self.status}: {self.words}" if self.words else f"status {self.status}"
        return {
            FailureKind.TIMED_OUT: "no answer in time",
            FailureKind.NOT_CONNECTED: f"no connection: {self.words}",
            FailureKind.UNREADABLE: f"no chat completion: {self.words}",
            FailureKind.NO_ANSWER: f"a reply without an answer: {self.words}",
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


def status_of_error(error: Mapping[str, Any]) -> int:
    """Return the HTTP status that an error object in a reply of status 200 stands for."""
    for code in _codes(error):
        if code.isdecimal() and 400 <= int(code) <= 599:
            return int(code)
        if "rate_limit" in code or code == "resource_exhausted":
            return 429
    return 502


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
    # A router hands on what the provider said.
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping):
        further = (metadata.get("provider_name"), metadata.get("raw"))
        message = ": ".join([message, *(str(each) for each in further if each)])
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


@dataclass(frozen=True)
class RequestContext:
    """What an explanation needs to know about a request that failed.

    Attributes:
        settings: of the run.
        endpoint: address of the endpoint, without secrets.
        attempts: how often it was tried, in words.
        max_tokens: limit of the answer that was asked for.
        has_answered_calls: whether the endpoint accepted tool calls earlier in the conversation.
    """

    settings: AgentSettings
    endpoint: str
    attempts: str
    max_tokens: int
    has_answered_calls: bool = False


def explain(failure: Failure, context: RequestContext) -> ModelError:
    """Return the error that names the setting to change."""
    settings, endpoint, attempts = context.settings, context.endpoint, context.attempts
    said = as_sentence(failure.words)
    if failure.redirected_to and failure.status in (0, *REDIRECTED_STATUSES):
        address = failure.redirected_to.removesuffix("/chat/completions")
        return ModelError(
            f"{endpoint} redirects requests to {failure.redirected_to}, which loses what they "
            f"hold. Set API_BASE_URL to {address}.",
            hopeless=True,
        )
    if failure.kind is FailureKind.TIMED_OUT:
        return ModelError(
            f"{settings.model} did not answer within {settings.model_timeout_s:g} s ({attempts}). "
            f"Lower MAX_TOKENS ({context.max_tokens}), so that answers are shorter, raise "
            "MODEL_TIMEOUT_S, or choose a faster MODEL_NAME."
        )
    if failure.kind is FailureKind.NOT_CONNECTED:
        hint = "check API_BASE_URL"
        if re.search("wrong.version.number|record.layer", failure.words, re.IGNORECASE):
            hint += ", which may have to start with http:// instead of https://"
        elif is_loopback(urlsplit(endpoint).hostname or ""):
            hint += ", and that the model's server runs on this machine"
        return ModelError(f"No connection to {endpoint} ({failure.words}), {attempts}: {hint}.")
    if failure.kind is FailureKind.UNREADABLE:
        return ModelError(
            f"{endpoint} sends no chat completions ({failure.words}), {attempts}: check "
            "API_BASE_URL, which often ends in /v1."
        )
    if failure.kind is FailureKind.NO_ANSWER:
        return ModelError(
            f"{endpoint} replied without an answer ({failure.words}), {attempts}. {TRY_LATER}"
        )
    limit = failure.answer_limit(context.max_tokens)
    if limit is not None and not is_about_context(failure.words):
        return ModelError(
            f"{endpoint} allows no answer of {context.max_tokens} tokens ({failure.status}): "
            f"{said} Lower MAX_TOKENS."
        )
    if failure.is_context_overflow or limit is not None:
        return ContextFullError(
            f"The conversation is too long for {settings.model} ({failure.status}): {said} Lower "
            f"MAX_TOKENS ({context.max_tokens}) or MAX_TOOL_ROUNDS, choose a MODEL_NAME with more "
            "context, or start the server with more."
        )
    return _explain_refusal(failure, context)


def as_sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with a mark of its own."""
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."


def _explain_refusal(failure: Failure, context: RequestContext) -> ModelError:
    settings, said, status = context.settings, as_sentence(failure.words), failure.status
    key, model = settings.key_variable or "API_KEY", settings.model
    case = _case_of(failure)
    check_model = f"{said} Check MODEL_NAME (--model) and"
    refused = f"refused the request ({status}): {said}"
    known = {
        # Some endpoints quote parts of the key here, so the endpoint is not quoted.
        401: f"refused the key ({status}): check {key}."
        if settings.api_key
        else f"asks for a key ({status}): set {key}.",
        402: f"wants credits ({status}): {said} Add credits, or set {key} and API_BASE_URL for "
        "another endpoint.",
        403: f"forbids {model} ({status}): {check_model} {key}.",
        404: f"knows no {model} ({status}): {check_model} API_BASE_URL.",
        429: f"limits the rate (429), {context.attempts}: {said} Lower --concurrency, or raise "
        "MODEL_RETRIES.",
    }
    if found := SERVER_OPTIONS.search(failure.words):
        is_llama = "jinja" in found[0]
        how = "llama-server with --jinja" if is_llama else "the server with a tool-call parser"
        reason = f"{refused} Start {how}."
    elif case == 404 and not re.search("model", failure.words, re.IGNORECASE):
        reason = (
            f"has nothing at this address (404): {said} Check API_BASE_URL, which often ends in "
            "/v1, and MODEL_NAME (--model)."
        )
    elif case in known:
        reason = known[case]
    elif status >= 500 or status in TEMPORARY_STATUSES:
        reason = f"failed ({status}), {context.attempts}: {said} {TRY_LATER}"
    elif status not in (400, 404, 422):
        reason = f"{refused} Check API_BASE_URL."
    elif "temperature" in failure.words.lower():
        reason = f"{refused} Change TEMPERATURE ({settings.temperature:g})."
    elif context.has_answered_calls and not TOOL_WORDS.search(failure.words):
        reason = (
            f"{refused} It accepted tool calls earlier in this episode. The conversation in the "
            "results shows what it refused; try another MODEL_NAME or API_BASE_URL."
        )
    else:
        reason = f"{refused} Check that MODEL_NAME ({model}) supports tool calls."
    return ModelError(f"{context.endpoint} {reason}", hopeless=case in HOPELESS_STATUSES)


def _case_of(failure: Failure) -> int:
    """Return the status by which a refusal is explained: endpoints do not agree on statuses."""
    status, words = failure.status, failure.words
    if status in (400, 403, 422) and KEY_WORDS.search(words):
        return 401
    if (status in (400, 403, 422) and CREDIT_WORDS.search(words)) or (
        status != 401 and "insufficient_quota" in words
    ):
        return 402
    if status in (400, 422) and MODEL_WORDS.search(words):
        return 404
    return 0 if status == 404 and TOOL_WORDS.search(words) else status


def _codes(error: Any) -> tuple[str, ...]:
    """Return an error object's code, type and status in lower case, without empty ones."""
    if not isinstance(error, Mapping):
        return ()
    found = (error.get(name) for name in ("code", "type", "status"))
    return tuple(str(each).lower() for each in found if isinstance(each, str | int) and each)
