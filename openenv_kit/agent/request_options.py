"""Options of requests to a model's endpoint, adapted to what it refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openenv_kit.agent.completion_limit import is_context_size_error
from openenv_kit.agent.completions import ChatMessage
from openenv_kit.agent.endpoint_failures import EndpointFailure
from openenv_kit.agent.servers import PrintStatus
from openenv_kit.agent.settings import AgentSettings

MIN_ANSWER_TOKENS = 256
"""Where less than this is left for an answer, older tool results are dropped instead."""
RENAMED_LIMIT_PATTERN = re.compile(
    r"max_completion_tokens.*(instead|not supported)|(unsupported|instead).*max_completion_tokens"
)
UNKNOWN_FIELD_PATTERN = re.compile(
    r"unsupported|not (supported|permitted|allowed)|\bextra (inputs?|fields?|propert|keys?)"
    r"|unexpected|unknown|unrecognized"
)
"""Words of a refusal of a field; those of a missing field are others."""


@dataclass
class ChatRequest:
    """One request for an answer, and what was changed in it after a refusal."""

    messages: Sequence[ChatMessage]
    tools: Sequence[Mapping[str, Any]]
    max_tokens: int
    has_lowered_limit: bool = False


class RequestOptions:
    """What every request to an endpoint holds beside its messages, shared by all episodes.

    Args:
        settings: of the run.
        endpoint_url: the endpoint's address, without secrets.
        print_status: told what was changed.
    """

    def __init__(
        self, settings: AgentSettings, endpoint_url: str, print_status: PrintStatus
    ) -> None:
        self._settings, self._endpoint_url, self._print_status = (
            settings,
            endpoint_url,
            print_status,
        )
        # An option that the model does not accept is left out.
        self._options: dict[str, Any] = {
            "model": settings.model or "",
            "temperature": settings.temperature,
        }
        self._limit_name, self._max_tokens = "max_tokens", settings.max_tokens
        self._refused_fields: set[str] = set()
        self._has_reported_context_limit = False

    def limit_max_tokens(self, request: ChatRequest) -> int:
        """Return the limit of the answer that a request asks for."""
        return min(request.max_tokens, self._max_tokens)

    def build_body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the body of a request, without what the endpoint refused before."""
        messages = [
            {name: each for name, each in message.items() if name not in self._refused_fields}
            for message in request.messages
        ]
        options = {**self._options, self._limit_name: self.limit_max_tokens(request)}
        return {**options, "messages": messages, "tools": list(request.tools)}

    def adapt_to_failure(
        self, failure: EndpointFailure, request: ChatRequest, sent_body: Mapping[str, Any]
    ) -> bool:
        """Learn from a refusal what the endpoint accepts; returns whether to ask again.

        Args:
            failure: of the request.
            request: what was asked for; its own limit may be lowered.
            sent_body: what was sent, before another episode may have changed the options.
        """
        if failure.status not in (400, 422):
            return False
        said = failure.message.lower()
        if "max_tokens" in sent_body and RENAMED_LIMIT_PATTERN.search(said):
            self._limit_name = "max_completion_tokens"
            return True
        asked = int(sent_body.get("max_tokens") or sent_body["max_completion_tokens"])
        limit = failure.parse_max_answer_tokens(asked)
        if limit is not None:
            return self._lower_max_tokens(
                limit, asked, request, is_context_limit=is_context_size_error(said)
            )
        if "temperature" in said and "temperature" in sent_body:
            self._options.pop("temperature", None)
            return True
        return self._omit_refused_fields(said, sent_body)

    def _lower_max_tokens(
        self,
        limit_tokens: int,
        requested_tokens: int,
        request: ChatRequest,
        *,
        is_context_limit: bool,
    ) -> bool:
        """Lower the limit of answers, once for a request; whether to ask again."""
        if request.has_lowered_limit or not MIN_ANSWER_TOKENS <= limit_tokens < requested_tokens:
            return False
        request.max_tokens, request.has_lowered_limit = limit_tokens, True
        is_known = (
            self._has_reported_context_limit
            if is_context_limit
            else self._max_tokens <= limit_tokens
        )
        if not is_context_limit:  # no later answer may be longer either
            self._max_tokens = min(self._max_tokens, limit_tokens)
        if not is_known:
            why = "beside the conversation" if is_context_limit else "by this endpoint"
            self._print_status(
                f"MAX_TOKENS is {self._settings.max_tokens}; {limit_tokens} is used, the most that "
                f"is allowed {why}."
            )
        self._has_reported_context_limit |= is_context_limit
        return True

    def _omit_refused_fields(self, error_message: str, sent_body: Mapping[str, Any]) -> bool:
        """Leave out a field that the endpoint sent itself and does not take back."""
        if not UNKNOWN_FIELD_PATTERN.search(error_message):
            return False
        sent = {
            name
            for message in sent_body["messages"]
            if message["role"] == "assistant"
            for name in message.keys() - {"role", "content", "tool_calls"}
        }
        refused = {name for name in sent if name.lower() in error_message}
        if further := refused - self._refused_fields:
            self._refused_fields |= further
            names = ", ".join(sorted(further))
            self._print_status(
                f"{self._endpoint_url} does not take back {names}; it is left out from now on."
            )
        return bool(refused)
