"""Options of requests to a model's endpoint, adapted to what it refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openenv_kit.agent.completion_limit import is_about_context
from openenv_kit.agent.completions import Message
from openenv_kit.agent.endpoint_failures import Failure
from openenv_kit.agent.servers import Say
from openenv_kit.agent.settings import AgentSettings

MIN_ANSWER_TOKENS = 256
"""Where less than this is left for an answer, older tool results are dropped instead."""
RENAMED_LIMIT = re.compile(
    r"max_completion_tokens.*(instead|not supported)|(unsupported|instead).*max_completion_tokens"
)
UNKNOWN_FIELD = re.compile(
    r"unsupported|not (supported|permitted|allowed)|\bextra (inputs?|fields?|propert|keys?)"
    r"|unexpected|unknown|unrecognized"
)
"""Words of a refusal of a field; those of a missing field are others."""


@dataclass
class ChatRequest:
    """One request for an answer, and what was changed in it after a refusal."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]]
    max_tokens: int
    is_lowered: bool = False


class RequestOptions:
    """What every request to an endpoint holds beside its messages, shared by all episodes.

    Args:
        settings: of the run.
        endpoint: the endpoint's address, without secrets.
        say: told what was changed.
    """

    def __init__(self, settings: AgentSettings, endpoint: str, say: Say) -> None:
        self._settings, self._endpoint, self._say = settings, endpoint, say
        # An option that the model does not accept is left out.
        self._options: dict[str, Any] = {
            "model": settings.model or "",
            "temperature": settings.temperature,
        }
        self._limit_name, self._max_tokens = "max_tokens", settings.max_tokens
        self._refused_fields: set[str] = set()
        self._told_of_context = False

    def max_tokens(self, request: ChatRequest) -> int:
        """Return the limit of the answer that a request asks for."""
        return min(request.max_tokens, self._max_tokens)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the body of a request, without what the endpoint refused before."""
        messages = [
            {name: each for name, each in message.items() if name not in self._refused_fields}
            for message in request.messages
        ]
        options = {**self._options, self._limit_name: self.max_tokens(request)}
        return {**options, "messages": messages, "tools": list(request.tools)}

    def adapt(self, failure: Failure, request: ChatRequest, body: Mapping[str, Any]) -> bool:
        """Learn from a refusal what the endpoint accepts; returns whether to ask again.

        Args:
            failure: of the request.
            request: what was asked for; its own limit may be lowered.
            body: what was sent, before another episode may have changed the options.
        """
        if failure.status not in (400, 422):
            return False
        said = failure.words.lower()
        if "max_tokens" in body and RENAMED_LIMIT.search(said):
            self._limit_name = "max_completion_tokens"
            return True
        asked = int(body.get("max_tokens") or body["max_completion_tokens"])
        limit = failure.answer_limit(asked)
        if limit is not None:
            return self._lower_max_tokens(limit, asked, request, is_shared=is_about_context(said))
        if "temperature" in said and "temperature" in body:
            self._options.pop("temperature", None)
            return True
        return self._leave_out_field(said, body)

    def _lower_max_tokens(
        self, limit: int, asked_tokens: int, request: ChatRequest, *, is_shared: bool
    ) -> bool:
        """Lower the limit of answers, once for a request; whether to ask again."""
        if request.is_lowered or not MIN_ANSWER_TOKENS <= limit < asked_tokens:
            return False
        request.max_tokens, request.is_lowered = limit, True
        is_known = self._told_of_context if is_shared else self._max_tokens <= limit
        if not is_shared:  # no later answer may be longer either
            self._max_tokens = min(self._max_tokens, limit)
        if not is_known:
            why = "beside the conversation" if is_shared else "by this endpoint"
            self._say(
                f"MAX_TOKENS is {self._settings.max_tokens}; {limit} is used, the most that is "
                f"allowed {why}."
            )
        self._told_of_context |= is_shared
        return True

    def _leave_out_field(self, said: str, body: Mapping[str, Any]) -> bool:
        """Leave out a field that the endpoint sent itself and does not take back."""
        if not UNKNOWN_FIELD.search(said):
            return False
        sent = {
            name
            for message in body["messages"]
            if message["role"] == "assistant"
            for name in message.keys() - {"role", "content", "tool_calls"}
        }
        refused = {name for name in sent if name.lower() in said}
        if further := refused - self._refused_fields:
            self._refused_fields |= further
            names = ", ".join(sorted(further))
            self._say(f"{self._endpoint} does not take back {names}; it is left out from now on.")
        return bool(refused)
