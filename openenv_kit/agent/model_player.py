"""A model as a player: asks it, makes its tool calls, and returns their answers to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from openenv_kit.agent.chat import Answer, ContextFullError, Endpoint, Message, ToolCall
from openenv_kit.agent.prompts import LEFT_OUT, last_round, reminder, shortened
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.table import Table
from openenv_kit.environment import ERROR
from openenv_kit.errors import ToolArgumentError
from openenv_kit.tool import compact

FRESH_REPLIES = (4, 1)
"""Newest tool replies that are kept when a conversation grows too long; fewer if it still is."""


class ChatEndpoint(Protocol):
    """What a model is asked through."""

    model: str

    async def ask(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Answer:
        """One answer to a conversation."""

    async def close(self) -> None:
        """Release the connections."""


class ModelPlayer:
    """Plays episodes with a model, by default the settings' through the openai client."""

    def __init__(self, settings: AgentSettings, endpoint: ChatEndpoint | None = None) -> None:
        self._settings = settings
        self._endpoint = Endpoint(settings) if endpoint is None else endpoint
        self.name = self._endpoint.model
        self.terms: Mapping[str, Any] = settings.terms

    async def play(self, table: Table) -> None:
        """Play until a report is graded, the model stops, or rounds or tokens run out."""
        await _Conversation(self._endpoint, self._settings, table).run()

    async def close(self) -> None:
        """Release the endpoint's connections."""
        await self._endpoint.close()


@dataclass
class _Conversation:
    endpoint: ChatEndpoint
    settings: AgentSettings
    table: Table
    messages: list[Message] = field(default_factory=list)
    reminded: bool = False

    async def run(self) -> None:
        environment, opening = self.table.environment, self.table.opening
        self._say("system", environment.brief(opening))
        self._say("user", environment.tools.introduction(opening))
        rounds = self.settings.max_tool_rounds
        if "max_tool_rounds" not in self.settings.model_fields_set:
            rounds = environment.rules.model_rounds
        for number in range(1, rounds + 1):
            last = number == rounds or self._budget_nearly_used()
            if last:
                self._say("user", last_round(self.table.tools))
            answer = await self._ask()
            self._remember(answer)
            for call in answer.calls:
                await self._call(call, answer.remark)
                if self.table.done:
                    return
            if last:
                why = "rounds (MAX_TOOL_ROUNDS)" if number == rounds else "tokens (TOKEN_BUDGET)"
                also = f" In the end {answer.remark}." if answer.remark else ""
                self.table.note = f"No report was submitted: no {why} left.{also}"
                return
            if not answer.calls:
                remark = answer.remark or "the model stopped calling tools"
                if self.reminded:
                    self.table.note = f"No report was submitted: {remark}, after one reminder."
                    return
                self.reminded = True
                self._say("user", reminder(self.table.tools))

    def _say(self, role: str, content: str) -> None:
        self.messages.append({"role": role, "content": content})

    async def _ask(self) -> Answer:
        """One answer; its tokens are counted."""
        tools = self.table.tools.chat_tools
        while True:
            try:
                answer = await self.endpoint.ask(self.messages, tools)
                break
            except ContextFullError:
                if not self._make_room():
                    raise
        self._count(answer)
        return answer

    def _count(self, answer: Answer) -> None:
        usage = self.table.usage
        usage.calls += 1
        usage.prompt_tokens += answer.prompt_tokens
        usage.completion_tokens += answer.completion_tokens
        usage.uncounted_calls += not answer.counted
        usage.last_call_tokens = answer.prompt_tokens + answer.completion_tokens
        cost, asked, said = answer.cost, self.settings.input_price, self.settings.output_price
        if cost is None and asked is not None and said is not None:
            cost = (answer.prompt_tokens * asked + answer.completion_tokens * said) / 1_000_000
        if cost is not None:
            usage.cost = (usage.cost or 0.0) + cost

    def _budget_nearly_used(self) -> bool:
        """Whether the tokens left are too few for two more calls like the last one."""
        budget, usage = self.settings.token_budget, self.table.usage
        return budget > 0 and usage.total + 2 * usage.last_call_tokens > budget

    def _remember(self, answer: Answer) -> None:
        """Append the answer to the conversation, in a form that every endpoint accepts."""
        message: Message = {"role": "assistant", "content": answer.text}
        for call in answer.calls:
            function = {"name": call.name or "unnamed", "arguments": _readable(call)}
            made = {"id": call.id, "type": "function", "function": function}
            message.setdefault("tool_calls", []).append(made)
        self.messages.append(message)

    async def _call(self, call: ToolCall, remark: str) -> None:
        tools = self.table.tools
        arguments: Any = call.arguments
        try:
            arguments = call.read()
            action = tools.action(call.name, arguments)
        except ToolArgumentError as problem:
            said = f"{problem} Perhaps because {remark}." if remark else str(problem)
            self.table.refuse(call.name, arguments, said)
            reply = compact({"status": ERROR, "message": said})
        else:
            observation = await self.table.act(action)
            reply = shortened(tools.answer(observation))
        self.messages.append({"role": "tool", "tool_call_id": call.id, "content": reply})

    def _make_room(self) -> bool:
        """Drop the contents of older tool replies; whether there were any."""
        replies = [each for each in self.messages if each["role"] == "tool"]
        for fresh in FRESH_REPLIES:
            old = [each for each in replies[:-fresh] if each["content"] != LEFT_OUT]
            for each in old:
                each["content"] = LEFT_OUT
            if old:
                return True
        return False


def _readable(call: ToolCall) -> str:
    """Arguments for the conversation: some endpoints refuse a history with broken JSON."""
    try:
        return compact(call.read())
    except ToolArgumentError:
        return "{}"
