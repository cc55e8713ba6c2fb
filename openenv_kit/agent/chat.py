"""One chat completion: how it is asked for, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openenv_kit.agent.secrets import Clean
from openenv_kit.agent.stdout import one_line
from openenv_kit.errors import ModelError, ToolArgumentError, echo

MAX_QUOTE = 300
CHARACTERS_PER_TOKEN = 4
"""Estimate for calls whose tokens the endpoint does not count."""

Message = dict[str, Any]


class ContextFullError(ModelError):
    """The conversation no longer fits into the model's context."""


@dataclass(frozen=True)
class ToolCall:
    """One tool call of an answer, its arguments as the model wrote them."""

    id: str
    name: str
    arguments: str

    def read(self) -> dict[str, Any]:
        """The arguments; no text means none.

        Raises:
            ToolArgumentError: not a JSON object; says where it breaks.
        """
        try:
            found = json.loads(self.arguments) if self.arguments.strip() else {}
        except (ValueError, RecursionError) as problem:
            raise ToolArgumentError(
                f"{self.name}: the arguments are not JSON ({problem}); allowed: one JSON object. "
                "Nothing was run."
            ) from None
        if not isinstance(found, dict):
            raise ToolArgumentError(
                f"{self.name}: the arguments are {echo(found)}; allowed: one JSON object."
            )
        return found


@dataclass(frozen=True)
class Answer:
    """What the model said and its tool calls, free of secrets.

    Attributes:
        prompt_tokens, completion_tokens: as counted, or estimated where `counted` is false.
        cost: US dollars, if the endpoint reports it.
        remark: what is wrong with the answer, if anything.
        reasoning: what the model thought before it, where the endpoint tells that.
    """

    text: str
    calls: tuple[ToolCall, ...]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: bool = True
    cost: float | None = None
    remark: str = ""
    reasoning: str = ""


class ChatRequest:
    """Requests to one model, with the parameters that it accepts."""

    def __init__(self, model: str, max_tokens: int, temperature: float) -> None:
        self._options = {"model": model, "max_tokens": max_tokens, "temperature": temperature}

    def body(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The request for the next answer of a conversation."""
        return {**self._options, "messages": list(messages), "tools": list(tools)}

    def adapt(self, status: int, said: str) -> bool:
        """Learn from a refusal which parameters the model accepts; whether to ask again."""
        options, said = self._options, said.lower()
        if status not in (400, 422):
            return False
        if "max_completion_tokens" in said and "max_tokens" in options:
            options["max_completion_tokens"] = options.pop("max_tokens")
            return True
        return "temperature" in said and options.pop("temperature", None) is not None


def read_answer(
    completion: Any, messages: Sequence[Message], clean: Clean, max_tokens: int
) -> Answer:
    """The answer in a chat completion; tolerates what endpoints leave out.

    Args:
        completion: an object with the attributes of a chat completion.
        messages: the request's, to estimate tokens that the endpoint does not count.
        clean: removes secrets from a text.
        max_tokens: the limit that was asked for.
    """
    choice = completion.choices[0] if completion.choices else None
    message, usage = getattr(choice, "message", None), getattr(completion, "usage", None)
    text = clean(str(getattr(message, "content", None) or ""))
    made = enumerate(getattr(message, "tool_calls", None) or [])
    calls = tuple(_call(number, each, clean) for number, each in made)
    prompt = getattr(usage, "prompt_tokens", None)
    answered = getattr(usage, "completion_tokens", None)
    counted = isinstance(prompt, int) and isinstance(answered, int)
    if not counted:
        prompt = sum(len(str(each)) for each in messages) // CHARACTERS_PER_TOKEN
        answered = (len(text) + sum(len(c.arguments) for c in calls)) // CHARACTERS_PER_TOKEN
    cost = getattr(usage, "cost", None)
    cost = float(cost) if isinstance(cost, int | float) else None
    remark = _remark(choice, message, clean, max_tokens)
    tokens = int(prompt or 0), int(answered or 0)
    return Answer(text, calls, *tokens, counted, cost, remark, _reasoning(message, clean))


def _reasoning(message: Any, clean: Clean) -> str:
    """What servers of open models send beside the answer, under one of two names."""
    told = (getattr(message, name, None) for name in ("reasoning_content", "reasoning"))
    return clean(next((each for each in told if isinstance(each, str)), ""))


def is_too_long(said: str) -> bool:
    """Whether an endpoint's refusal means that the conversation is too long."""
    signs = ("context_length", "context length", "maximum context", "prompt is too long")
    return any(sign in said.lower() for sign in signs)


def _call(number: int, call: Any, clean: Clean) -> ToolCall:
    function = getattr(call, "function", None) or getattr(call, "custom", None)
    arguments = getattr(function, "arguments", None) or getattr(function, "input", None) or ""
    return ToolCall(
        str(getattr(call, "id", None) or f"call_{number}"),
        clean(str(getattr(function, "name", None) or "")),
        clean(arguments if isinstance(arguments, str) else str(arguments)),
    )


def _remark(choice: Any, message: Any, clean: Clean, max_tokens: int) -> str:
    if message is None:
        return "the answer was empty (no choices)"
    if getattr(message, "refusal", None):
        return f"the model refused: {one_line(clean(str(message.refusal)), MAX_QUOTE)}"
    reasons = {
        "length": f"the answer was cut at MAX_TOKENS ({max_tokens})",
        "content_filter": "the endpoint's content filter stopped the answer",
    }
    return reasons.get(str(getattr(choice, "finish_reason", None)), "")
