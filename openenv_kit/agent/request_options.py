"""Options of requests to a model's endpoint, adapted when the endpoint rejects them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from openenv_kit.agent.completion_limit import is_prompt_plus_answer_limit_error
from openenv_kit.agent.completions import ChatMessage
from openenv_kit.agent.endpoint_failures import EndpointFailure
from openenv_kit.agent.servers import PrintStatus
from openenv_kit.agent.settings import AgentSettings

MIN_ANSWER_TOKENS = 256
"""If the context leaves fewer tokens for a response, older tool results are removed instead."""
RENAMED_LIMIT_PATTERN = re.compile(
    r"max_completion_tokens.*(instead|not supported)|(unsupported|instead).*max_completion_tokens"
)
"""Matches error messages of endpoints that accept only `max_completion_tokens`."""
UNKNOWN_FIELD_PATTERN = re.compile(
    r"unsupported|not (supported|permitted|allowed)|\bextra (inputs?|fields?|propert|keys?)"
    r"|unexpected|unknown|unrecognized"
)
"""Matches error messages about a field that the endpoint does not accept."""

ShouldResend: TypeAlias = bool
"""Whether to send a refused request again with the changed options."""


@dataclass
class ChatRequest:
    """A request for a chat completion.

    Attributes:
        messages: messages of the conversation.
        tools: tools of the episode, in the format of chat completions.
        max_tokens: completion limit, in tokens.
        has_lowered_limit: whether the limit was lowered because the endpoint rejected it.
    """

    messages: Sequence[ChatMessage]
    tools: Sequence[Mapping[str, Any]]
    max_tokens: int
    has_lowered_limit: bool = False


class RequestOptions:
    """Options of all requests of a run: model, temperature and completion limit.

    Options that the endpoint rejects are changed or omitted in all later requests.

    Args:
        settings: settings of the run.
        endpoint_url: URL of the endpoint, without secrets.
        print_status: prints a message for each change.
    """

    def __init__(
        self, settings: AgentSettings, endpoint_url: str, print_status: PrintStatus
    ) -> None:
        self._settings = settings
        self._endpoint_url = endpoint_url
        self._print_status = print_status
        self._options: dict[str, Any] = {
            "model": settings.model or "",
            "temperature": settings.temperature,
        }
        self._limit_name = "max_tokens"
        self._max_tokens = settings.max_tokens
        self._refused_fields: set[str] = set()
        self._has_reported_context_limit = False

    def compute_max_tokens_to_send(self, request: ChatRequest) -> int:
        """Return the completion limit that is sent with a request, in tokens."""
        return min(request.max_tokens, self._max_tokens)

    def build_request_body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the body of a request, without options and fields that were rejected before."""
        messages = [
            {name: value for name, value in message.items() if name not in self._refused_fields}
            for message in request.messages
        ]
        options = {**self._options, self._limit_name: self.compute_max_tokens_to_send(request)}
        return {**options, "messages": messages, "tools": list(request.tools)}

    def change_options_after_failure(
        self, failure: EndpointFailure, request: ChatRequest, sent_body: Mapping[str, Any]
    ) -> ShouldResend:
        """Change the options after an error response; return whether to resend the request.

        Args:
            failure: failure of the request.
            request: the request, whose limit may be lowered.
            sent_body: the rejected body. Another episode may have changed the options since then.
        """
        if failure.status not in (400, 422):
            return False
        error_message = failure.message.lower()
        if "max_tokens" in sent_body and RENAMED_LIMIT_PATTERN.search(error_message):
            self._limit_name = "max_completion_tokens"
            return True
        requested_tokens = int(sent_body.get("max_tokens") or sent_body["max_completion_tokens"])
        limit_tokens = failure.parse_or_guess_max_answer_tokens(requested_tokens)
        if limit_tokens is not None:
            return self._lower_max_tokens(
                limit_tokens,
                requested_tokens,
                request,
                is_context_limit=is_prompt_plus_answer_limit_error(error_message),
            )
        if "temperature" in error_message and "temperature" in sent_body:
            self._options.pop("temperature", None)
            return True
        return self._omit_refused_message_fields(error_message, sent_body)

    def _lower_max_tokens(
        self,
        allowed_tokens: int,
        requested_tokens: int,
        request: ChatRequest,
        *,
        is_context_limit: bool,
    ) -> ShouldResend:
        """Lower the completion limit, once per request; return whether to resend the request.

        A limit that depends on the context is lowered for this request only, any other limit for
        all requests. Each of the two changes is reported once.
        """
        if request.has_lowered_limit or not MIN_ANSWER_TOKENS <= allowed_tokens < requested_tokens:
            return False
        request.max_tokens = allowed_tokens
        request.has_lowered_limit = True
        if is_context_limit:
            reason = "beside the conversation"
            is_reported = self._has_reported_context_limit
            self._has_reported_context_limit = True
        else:
            reason = "by this endpoint"
            is_reported = self._max_tokens <= allowed_tokens
            self._max_tokens = min(self._max_tokens, allowed_tokens)
        if not is_reported:
            self._print_status(
                f"MAX_TOKENS is {self._settings.max_tokens}; {allowed_tokens} is used, the most "
                f"that is allowed {reason}."
            )
        return True

    def _omit_refused_message_fields(
        self, error_message: str, sent_body: Mapping[str, Any]
    ) -> ShouldResend:
        """Omit message fields that the endpoint returned but does not accept in requests.

        Returns:
            Whether to send the request again.
        """
        if not UNKNOWN_FIELD_PATTERN.search(error_message):
            return False
        sent_fields = {
            name
            for message in sent_body["messages"]
            if message["role"] == "assistant"
            for name in message.keys() - {"role", "content", "tool_calls"}
        }
        refused_fields = {name for name in sent_fields if name.lower() in error_message}
        if new_fields := refused_fields - self._refused_fields:
            self._refused_fields |= new_fields
            names = ", ".join(sorted(new_fields))
            self._print_status(
                f"{self._endpoint_url} does not accept {names}; it is left out from now on."
            )
        return bool(refused_fields)
