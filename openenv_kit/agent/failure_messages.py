"""Explains a failed request to a model's endpoint: which setting is the cure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from openenv_kit.agent.completion_limit import is_about_context
from openenv_kit.agent.endpoint_failures import (
    SERVER_OPTIONS,
    TEMPORARY_STATUSES,
    Failure,
    FailureKind,
)
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.errors import ModelError
from openenv_kit.network_addresses import is_loopback

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
REDIRECTED_STATUSES = (301, 302, 303, 307, 308, 401, 403, 404, 405)
"""Statuses that a redirected request gets because it lost its method, its body or its key."""
HOPELESS_STATUSES = (401, 402, 403, 404)
"""Statuses that every further request would get too."""
TRY_LATER = (
    "The failure is the provider's: try later, raise MODEL_RETRIES, or choose another MODEL_NAME "
    "or API_BASE_URL."
)


class ContextFullError(ModelError):
    """The conversation no longer fits into the model's context."""


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
