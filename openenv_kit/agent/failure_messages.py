"""Explains a failed request to a model's endpoint: which setting is the cure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from openenv_kit.agent.completion_limit import is_context_size_error
from openenv_kit.agent.endpoint_failures import (
    TEMPORARY_STATUSES,
    TOOL_PARSER_OPTIONS_PATTERN,
    EndpointFailure,
    FailureKind,
)
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.errors import ModelError
from openenv_kit.network_addresses import is_loopback

INVALID_KEY_PATTERN = re.compile(
    r"api[ _-]?key.{0,20}(not valid|invalid)|invalid.api.key", re.IGNORECASE
)
MISSING_CREDIT_PATTERN = re.compile(
    r"insufficient[ _](balance|credits?|funds)|credit balance|out of credits|billing", re.IGNORECASE
)
UNKNOWN_MODEL_PATTERN = re.compile(
    r"model.{0,60}(not found|not exist|not available|unavailable|decommissioned|not a valid model)"
    r"|(invalid|unknown|no such|not a valid) model",
    re.IGNORECASE,
)
TOOL_SUPPORT_PATTERN = re.compile(
    r"\btools?\b.{0,40}\bsupport|support.{0,40}\btools?\b", re.IGNORECASE
)
"""Words by which refusals of one status can be told apart."""
REDIRECT_FAILURE_STATUSES = (301, 302, 303, 307, 308, 401, 403, 404, 405)
"""Statuses that a redirected request gets because it lost its method, its body or its key."""
PERMANENT_STATUSES = (401, 402, 403, 404)
"""Statuses that every further request would get too."""
TRY_LATER_ADVICE = (
    "The failure is the provider's: try later, raise MODEL_RETRIES, or choose another MODEL_NAME "
    "or API_BASE_URL."
)


class ContextFullError(ModelError):
    """The conversation no longer fits into the model's context."""


@dataclass(frozen=True)
class FailedRequest:
    """What an explanation needs to know about a request that failed.

    Attributes:
        settings: of the run.
        endpoint_url: address of the endpoint, without secrets.
        attempts_text: how often it was tried, in words.
        max_tokens: limit of the answer that was asked for.
        has_earlier_tool_calls: whether the endpoint accepted tool calls earlier in the
            conversation.
    """

    settings: AgentSettings
    endpoint_url: str
    attempts_text: str
    max_tokens: int
    has_earlier_tool_calls: bool = False


def build_model_error(failure: EndpointFailure, request: FailedRequest) -> ModelError:
    """Return the error that names the setting to change."""
    settings, endpoint, attempts = request.settings, request.endpoint_url, request.attempts_text
    said = add_full_stop(failure.message)
    if failure.redirect_url and failure.status in (0, *REDIRECT_FAILURE_STATUSES):
        address = failure.redirect_url.removesuffix("/chat/completions")
        return ModelError(
            f"{endpoint} redirects requests to {failure.redirect_url}, which loses what they "
            f"hold. Set API_BASE_URL to {address}.",
            is_permanent=True,
        )
    if failure.kind is FailureKind.TIMED_OUT:
        return ModelError(
            f"{settings.model} did not answer within {settings.model_timeout_s:g} s ({attempts}). "
            f"Lower MAX_TOKENS ({request.max_tokens}), so that answers are shorter, raise "
            "MODEL_TIMEOUT_S, or choose a faster MODEL_NAME."
        )
    if failure.kind is FailureKind.NOT_CONNECTED:
        hint = "check API_BASE_URL"
        if re.search("wrong.version.number|record.layer", failure.message, re.IGNORECASE):
            hint += ", which may have to start with http:// instead of https://"
        elif is_loopback(urlsplit(endpoint).hostname or ""):
            hint += ", and that the model's server runs on this machine"
        return ModelError(f"No connection to {endpoint} ({failure.message}), {attempts}: {hint}.")
    if failure.kind is FailureKind.UNREADABLE:
        return ModelError(
            f"{endpoint} sends no chat completions ({failure.message}), {attempts}: check "
            "API_BASE_URL, which often ends in /v1."
        )
    if failure.kind is FailureKind.NO_ANSWER:
        return ModelError(
            f"{endpoint} replied without an answer ({failure.message}), {attempts}. "
            f"{TRY_LATER_ADVICE}"
        )
    limit = failure.parse_max_answer_tokens(request.max_tokens)
    if limit is not None and not is_context_size_error(failure.message):
        return ModelError(
            f"{endpoint} allows no answer of {request.max_tokens} tokens ({failure.status}): "
            f"{said} Lower MAX_TOKENS."
        )
    if failure.is_context_overflow or limit is not None:
        return ContextFullError(
            f"The conversation is too long for {settings.model} ({failure.status}): {said} Lower "
            f"MAX_TOKENS ({request.max_tokens}) or MAX_TOOL_ROUNDS, choose a MODEL_NAME with more "
            "context, or start the server with more."
        )
    return _build_refusal_error(failure, request)


def add_full_stop(text: str) -> str:
    """Return a text with a full stop, unless it ends with a mark of its own."""
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."


def _build_refusal_error(failure: EndpointFailure, request: FailedRequest) -> ModelError:
    settings, said, status = request.settings, add_full_stop(failure.message), failure.status
    key, model = settings.key_variable or "API_KEY", settings.model
    case = _normalize_status(failure)
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
        429: f"limits the rate (429), {request.attempts_text}: {said} Lower --concurrency, or "
        "raise MODEL_RETRIES.",
    }
    if found := TOOL_PARSER_OPTIONS_PATTERN.search(failure.message):
        is_llama = "jinja" in found[0]
        how = "llama-server with --jinja" if is_llama else "the server with a tool-call parser"
        reason = f"{refused} Start {how}."
    elif case == 404 and not re.search("model", failure.message, re.IGNORECASE):
        reason = (
            f"has nothing at this address (404): {said} Check API_BASE_URL, which often ends in "
            "/v1, and MODEL_NAME (--model)."
        )
    elif case in known:
        reason = known[case]
    elif status >= 500 or status in TEMPORARY_STATUSES:
        reason = f"failed ({status}), {request.attempts_text}: {said} {TRY_LATER_ADVICE}"
    elif status not in (400, 404, 422):
        reason = f"{refused} Check API_BASE_URL."
    elif "temperature" in failure.message.lower():
        reason = f"{refused} Change TEMPERATURE ({settings.temperature:g})."
    elif request.has_earlier_tool_calls and not TOOL_SUPPORT_PATTERN.search(failure.message):
        reason = (
            f"{refused} It accepted tool calls earlier in this episode. The conversation in the "
            "results shows what it refused; try another MODEL_NAME or API_BASE_URL."
        )
    else:
        reason = f"{refused} Check that MODEL_NAME ({model}) supports tool calls."
    return ModelError(f"{request.endpoint_url} {reason}", is_permanent=case in PERMANENT_STATUSES)


def _normalize_status(failure: EndpointFailure) -> int:
    """Return the status by which a refusal is explained: endpoints do not agree on statuses."""
    status, words = failure.status, failure.message
    if status in (400, 403, 422) and INVALID_KEY_PATTERN.search(words):
        return 401
    if (status in (400, 403, 422) and MISSING_CREDIT_PATTERN.search(words)) or (
        status != 401 and "insufficient_quota" in words
    ):
        return 402
    if status in (400, 422) and UNKNOWN_MODEL_PATTERN.search(words):
        return 404
    return 0 if status == 404 and TOOL_SUPPORT_PATTERN.search(words) else status
