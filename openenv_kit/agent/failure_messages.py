"""Builds error messages for failed requests to a model's endpoint.

Each message names the setting to change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from openenv_kit.agent.completion_limit import is_prompt_plus_answer_limit_error
from openenv_kit.agent.endpoint_failures import (
    TEMPORARY_STATUSES,
    TOOL_PARSER_OPTIONS_PATTERN,
    EndpointFailure,
    FailureKind,
)
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.errors import ModelError
from openenv_kit.network_addresses import is_loopback_host

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
WRONG_SCHEME_PATTERN = re.compile("wrong.version.number|record.layer", re.IGNORECASE)
"""Matches TLS errors that occur if the server uses plain HTTP."""
INVALID_REQUEST_STATUSES = (400, 422)
AMBIGUOUS_STATUSES = (400, 403, 422)
"""HTTP statuses that some endpoints use for an invalid key or missing credit."""
REDIRECT_FAILURE_STATUSES = (301, 302, 303, 307, 308, 401, 403, 404, 405)
"""HTTP statuses of a redirected request that lost its method, its body or its key."""
TRY_LATER_ADVICE = (
    "The failure is the provider's: try later, raise MODEL_RETRIES, or choose another MODEL_NAME "
    "or API_BASE_URL."
)


class RefusalReason(StrEnum):
    """Reasons why an endpoint refuses a request, inferred from its error response."""

    KEY = "key"
    CREDIT = "credit"
    FORBIDDEN_MODEL = "forbidden_model"
    UNKNOWN_MODEL = "unknown_model"
    ADDRESS = "address"
    RATE_LIMIT = "rate_limit"
    PROVIDER_FAILURE = "provider_failure"
    MISSING_TOOL_PARSER = "missing_tool_parser"
    TEMPERATURE = "temperature"
    CONVERSATION = "conversation"
    TOOLS = "tools"
    OTHER = "other"


PERMANENT_REASONS = (
    RefusalReason.KEY,
    RefusalReason.CREDIT,
    RefusalReason.FORBIDDEN_MODEL,
    RefusalReason.UNKNOWN_MODEL,
    RefusalReason.ADDRESS,
)
"""Reasons for which every further request would be refused too."""


class ContextFullError(ModelError):
    """The conversation is too long for the model's context."""


@dataclass(frozen=True)
class FailedRequest:
    """Details of a failed request that are used in its error message.

    Attributes:
        settings: settings of the run.
        endpoint_url: URL of the endpoint, without secrets.
        attempts_text: clause that states the number of attempts.
        max_tokens: requested completion limit, in tokens.
        has_earlier_answers: whether the conversation contains an answer of the model.
        has_earlier_tool_calls: whether the endpoint accepted tool calls earlier in the
            conversation.
    """

    settings: AgentSettings
    endpoint_url: str
    attempts_text: str
    max_tokens: int
    has_earlier_answers: bool = False
    has_earlier_tool_calls: bool = False


def build_model_error(failure: EndpointFailure, request: FailedRequest) -> ModelError:
    """Build the error for a failed request; its message names the setting to change."""
    settings, endpoint, attempts = request.settings, request.endpoint_url, request.attempts_text
    if failure.redirect_url and failure.status in (0, *REDIRECT_FAILURE_STATUSES):
        address = failure.redirect_url.removesuffix("/chat/completions")
        return ModelError(
            f"{endpoint} redirects requests to {failure.redirect_url}, and their content is lost. "
            f"Set API_BASE_URL to {address}.",
            is_permanent=True,
        )
    match failure.kind:
        case FailureKind.TIMED_OUT:
            return ModelError(
                f"{settings.model} did not answer within {settings.model_timeout_s:g} s "
                f"({attempts}). Lower MAX_TOKENS ({request.max_tokens}) for shorter answers, raise "
                "MODEL_TIMEOUT_S, or choose a faster MODEL_NAME."
            )
        case FailureKind.NOT_CONNECTED:
            hint = _build_hint_for_failed_connection(failure, endpoint)
            return ModelError(
                f"No connection to {endpoint} ({failure.message}), {attempts}: {hint}."
            )
        case FailureKind.UNREADABLE:
            return ModelError(
                f"{endpoint} sends no chat completions ({failure.message}), {attempts}: check "
                "API_BASE_URL, which often ends in /v1."
            )
        case FailureKind.NO_ANSWER:
            return ModelError(
                f"{endpoint} replied without an answer ({failure.message}), {attempts}. "
                f"{TRY_LATER_ADVICE}"
            )
        case FailureKind.REFUSED:
            return _build_length_error_if_too_long(failure, request) or _build_refusal_error(
                failure, request
            )


def add_full_stop(text: str) -> str:
    """Add a full stop to a sentence, unless it already ends with a punctuation mark."""
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."


def _build_hint_for_failed_connection(failure: EndpointFailure, endpoint_url: str) -> str:
    if WRONG_SCHEME_PATTERN.search(failure.message):
        return "check API_BASE_URL, which may have to start with http:// instead of https://"
    if is_loopback_host(urlsplit(endpoint_url).hostname or ""):
        return "check API_BASE_URL, and that the model's server runs on this machine"
    return "check API_BASE_URL"


def _build_length_error_if_too_long(
    failure: EndpointFailure, request: FailedRequest
) -> ModelError | None:
    """Build the error for a completion or conversation that is too long; None if neither is."""
    detail = add_full_stop(failure.message)
    max_answer_tokens = failure.parse_or_guess_max_answer_tokens(request.max_tokens)
    if max_answer_tokens is not None and not is_prompt_plus_answer_limit_error(failure.message):
        return ModelError(
            f"{request.endpoint_url} allows no answer of {request.max_tokens} tokens "
            f"({failure.status}): {detail} Lower MAX_TOKENS."
        )
    if failure.is_context_overflow or max_answer_tokens is not None:
        return ContextFullError(
            f"The prompt does not fit the model's context ({failure.status}): {detail} "
            f"{_advise_how_to_fit_context(request, max_answer_tokens)}"
        )
    return None


def _advise_how_to_fit_context(request: FailedRequest, max_answer_tokens: int | None) -> str:
    """Name the settings that help if a prompt, or the prompt and the answer, exceed the context.

    Args:
        request: the failed request.
        max_answer_tokens: completion tokens that fit beside the prompt, 0 or less if the prompt
            alone is too long; None if the endpoint did not say.
    """
    model = request.settings.model
    more_context = f"choose a MODEL_NAME with more context than {model}, or start its server with"
    shorter = []
    if max_answer_tokens is not None and max_answer_tokens > 0:
        shorter.append(f"MAX_TOKENS ({request.max_tokens})")
    if request.has_earlier_answers:
        shorter.append("MAX_TOOL_ROUNDS")
    if not shorter:
        return f"{more_context[0].upper()}{more_context[1:]} more."
    return f"Lower {' or '.join(shorter)}, {more_context} more."


def infer_refusal_reason(
    failure: EndpointFailure, *, has_earlier_tool_calls: bool
) -> RefusalReason:
    """Classify the reason why an endpoint refused a request.

    Endpoints use different statuses for the same reason, so the error message is searched too.

    Args:
        failure: the refused request.
        has_earlier_tool_calls: see `FailedRequest`.
    """
    status, message = failure.status, failure.message
    if TOOL_PARSER_OPTIONS_PATTERN.search(message):
        return RefusalReason.MISSING_TOOL_PARSER
    if status == 401 or (status in AMBIGUOUS_STATUSES and INVALID_KEY_PATTERN.search(message)):
        return RefusalReason.KEY
    if (
        status == 402
        or (status in AMBIGUOUS_STATUSES and MISSING_CREDIT_PATTERN.search(message))
        or "insufficient_quota" in message
    ):
        return RefusalReason.CREDIT
    is_about_tools = TOOL_SUPPORT_PATTERN.search(message) is not None
    is_unknown_model = status in INVALID_REQUEST_STATUSES and UNKNOWN_MODEL_PATTERN.search(message)
    if is_unknown_model or (status == 404 and not is_about_tools):
        is_about_model = "model" in message.lower()
        return RefusalReason.UNKNOWN_MODEL if is_about_model else RefusalReason.ADDRESS
    if status == 403:
        return RefusalReason.FORBIDDEN_MODEL
    if status == 429:
        return RefusalReason.RATE_LIMIT
    if status >= 500 or status in TEMPORARY_STATUSES:
        return RefusalReason.PROVIDER_FAILURE
    if status not in (404, *INVALID_REQUEST_STATUSES):
        return RefusalReason.OTHER
    if "temperature" in message.lower():
        return RefusalReason.TEMPERATURE
    if has_earlier_tool_calls and not is_about_tools:
        return RefusalReason.CONVERSATION
    return RefusalReason.TOOLS


def _build_refusal_error(failure: EndpointFailure, request: FailedRequest) -> ModelError:
    reason = infer_refusal_reason(failure, has_earlier_tool_calls=request.has_earlier_tool_calls)
    return ModelError(
        f"{request.endpoint_url} {_describe_refusal(reason, failure, request)}",
        is_permanent=reason in PERMANENT_REASONS,
    )


def _describe_refusal(
    reason: RefusalReason, failure: EndpointFailure, request: FailedRequest
) -> str:
    """Return the error message for a refusal, without the endpoint's URL at its start."""
    settings, status = request.settings, failure.status
    detail = add_full_stop(failure.message)
    refused = f"refused the request ({status}): {detail}"
    key, model = settings.key_variable or "API_KEY", settings.model
    match reason:
        # Some endpoints quote parts of the key, so their message is not repeated.
        case RefusalReason.KEY if settings.api_key:
            return f"refused the key ({status}): check {key}."
        case RefusalReason.KEY:
            return f"asks for a key ({status}): set {key}."
        case RefusalReason.CREDIT:
            return (
                f"wants credits ({status}): {detail} Add credits, or set {key} and API_BASE_URL "
                "for another endpoint."
            )
        case RefusalReason.FORBIDDEN_MODEL:
            return f"forbids {model} ({status}): {detail} Check MODEL_NAME (--model) and {key}."
        case RefusalReason.UNKNOWN_MODEL:
            return (
                f"knows no {model} ({status}): {detail} Check MODEL_NAME (--model) and "
                "API_BASE_URL."
            )
        case RefusalReason.ADDRESS:
            return (
                f"has nothing at this address (404): {detail} Check API_BASE_URL, which often ends "
                "in /v1, and MODEL_NAME (--model)."
            )
        case RefusalReason.RATE_LIMIT:
            return (
                f"limits the rate (429), {request.attempts_text}: {detail} Lower --concurrency, or "
                "raise MODEL_RETRIES."
            )
        case RefusalReason.PROVIDER_FAILURE:
            return f"failed ({status}), {request.attempts_text}: {detail} {TRY_LATER_ADVICE}"
        case RefusalReason.MISSING_TOOL_PARSER if "jinja" in failure.message:
            return f"{refused} Start llama-server with --jinja."
        case RefusalReason.MISSING_TOOL_PARSER:
            return f"{refused} Start the server with a tool-call parser."
        case RefusalReason.TEMPERATURE:
            return f"{refused} Change TEMPERATURE ({settings.temperature:g})."
        case RefusalReason.CONVERSATION:
            return (
                f"{refused} It accepted tool calls earlier in this episode. The conversation in "
                "the results shows what it refused; try another MODEL_NAME or API_BASE_URL."
            )
        case RefusalReason.TOOLS:
            return f"{refused} Check that MODEL_NAME ({model}) supports tool calls."
        case RefusalReason.OTHER:
            return f"{refused} Check API_BASE_URL."
