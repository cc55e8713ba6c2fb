"""A model as a player: asks it, makes its tool calls, and returns their results to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from openenv_kit.agent.chat_endpoint import Answer, Endpoint, Message, ToolCall
from openenv_kit.agent.failure_messages import ContextFullError
from openenv_kit.agent.player_episode import Table
from openenv_kit.agent.prompts import last_round, reminder, shortened
from openenv_kit.agent.servers import Say
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.text_calls import find_text_call
from openenv_kit.agent.tool_arguments import read_arguments
from openenv_kit.agent.transcript import Conversation
from openenv_kit.environment import ERROR
from openenv_kit.errors import ToolArgumentError
from openenv_kit.tool import compact

FIRST_PROGRESS_S = 15.0
"""Seconds of waiting for an answer before the first line of progress; each pause is doubled."""
MESSAGE_CHARACTERS_PER_TOKEN, TOOL_CHARACTERS_PER_TOKEN = 5, 8
"""More than any tokenizer needs, also for templates that shorten the tools' JSON."""


class ChatEndpoint(Protocol):
    """What a model is asked through."""

    model: str

    async def ask(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> Answer:
        """One answer to a conversation."""

    async def close(self) -> None:
        """Release the connections."""


class ModelPlayer:
    """Plays episodes with a model, by default the settings' through the openai client.

    Args:
        settings: of the run.
        endpoint: through which the model is asked; None for the settings'.
        say: told about requests that failed.
    """

    def __init__(
        self,
        settings: AgentSettings,
        endpoint: ChatEndpoint | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self._settings = settings
        self._endpoint = Endpoint(settings, say) if endpoint is None else endpoint
        self.name = self._endpoint.model
        self.terms: Mapping[str, Any] = settings.terms

    async def play(self, table: Table) -> None:
        """Play until a report is graded, the model stops, or rounds or tokens run out."""
        await _ModelEpisode(self._endpoint, self._settings, table).run()

    async def close(self) -> None:
        """Release the endpoint's connections."""
        await self._endpoint.close()


@dataclass
class _ModelEpisode:
    """One episode that a model plays.

    Attributes:
        is_reminded: whether the model was told that text alone does nothing.
        has_called: whether it ever called a tool.
        ignores_tools: whether the endpoint counted too few tokens for the tools to be among them.
        text_call: mark of a tool call in the text of the last answer; empty if it has none.
    """

    endpoint: ChatEndpoint
    settings: AgentSettings
    table: Table
    conversation: Conversation = field(init=False)
    is_reminded: bool = False
    has_called: bool = False
    ignores_tools: bool = False
    text_call: str = ""

    def __post_init__(self) -> None:
        self.conversation = Conversation(self.table.transcript)

    async def run(self) -> None:
        environment, opening = self.table.environment, self.table.opening
        conversation = self.conversation
        conversation.add("system", environment.brief(opening))
        conversation.add("user", environment.tools.introduction(opening))
        rounds = self.settings.max_tool_rounds
        if "max_tool_rounds" not in self.settings.model_fields_set:
            rounds = environment.rules.model_rounds
        for number in range(1, rounds + 1):
            last = number == rounds or self._budget_nearly_used()
            if last:
                conversation.add_notice(last_round(self.table.tools))
            answer = await self._ask()
            for call in conversation.add_answer(answer):
                await self._call(call, answer.remark)
                if self.table.done:
                    return
            if last:
                why = "rounds (MAX_TOOL_ROUNDS)" if number == rounds else "tokens (TOKEN_BUDGET)"
                also = f" In the end {answer.remark}." if answer.remark else ""
                self.table.note = (
                    f"No report was submitted: no {why} left.{also}{self._why_no_call()}"
                )
                return
            if not answer.calls:
                if self.is_reminded:
                    self.table.note = self._why_stopped(answer)
                    return
                self.is_reminded = True
                conversation.add_notice(reminder(self.table.tools))

    def _why_stopped(self, answer: Answer) -> str:
        stopped = "stopped calling tools" if self.has_called else "never called a tool"
        remark = answer.remark or f"the model {stopped}"
        return f"No report was submitted: {remark}, after one reminder.{self._why_no_call()}"

    def _why_no_call(self) -> str:
        """Return a sentence about calls that did not arrive as such, if the reason is known."""
        if self.text_call:
            return (
                f" The model wrote a tool call as text ({self.text_call}), which is not executed: "
                "the server has no tool-call parser for this model, or one that does not fit. "
                "Start the server with the right one (vLLM, SGLang: --tool-call-parser; "
                "llama.cpp: --jinja), or choose another MODEL_NAME."
            )
        if self.has_called or not self.ignores_tools:
            return ""
        return (
            " The endpoint counted fewer prompt tokens than the tools need, so the model's chat "
            "template seems to ignore tools: choose another MODEL_NAME, or start the server with "
            "a template that supports tools."
        )

    async def _ask(self) -> Answer:
        """One answer; its tokens are counted."""
        tools = self.table.tools.chat_tools
        while True:
            try:
                async with self._progress():
                    answer = await self.endpoint.ask(self.conversation.messages, tools)
                break
            except ContextFullError:
                if not self.conversation.drop_old_tool_results():
                    raise
                self.table.say(
                    "The conversation is too long for the model; older tool results are left out."
                )
        self.has_called |= bool(answer.calls)
        names = self.table.tools.names
        self.text_call = "" if answer.calls else find_text_call(answer.text, names)
        if answer.counted:
            self.ignores_tools = answer.prompt_tokens < self._fewest_tokens(tools)
        self._count(answer)
        return answer

    @asynccontextmanager
    async def _progress(self) -> AsyncIterator[None]:
        """Report now and then that the model has not answered yet."""

        async def report() -> None:
            pause_s, began = FIRST_PROGRESS_S, time.monotonic()
            while True:
                await asyncio.sleep(pause_s)
                waited_s = time.monotonic() - began
                self.table.say(
                    f"Waiting for {self.endpoint.model} for {waited_s:.0f} s; at most "
                    f"{self.settings.answer_timeout_s:g} s (MODEL_TIMEOUT_S, "
                    "MODEL_ANSWER_TIMEOUT_S) …"
                )
                pause_s = waited_s

        reporting = asyncio.create_task(report())
        try:
            yield
        finally:
            reporting.cancel()

    def _fewest_tokens(self, tools: Sequence[Mapping[str, Any]]) -> int:
        """Return how many prompt tokens the messages and the tools need at the very least."""
        messages = sum(len(str(each["content"])) for each in self.conversation.messages)
        return (
            messages // MESSAGE_CHARACTERS_PER_TOKEN
            + len(compact(tools)) // TOOL_CHARACTERS_PER_TOKEN
        )

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

    async def _call(self, call: ToolCall, remark: str) -> None:
        tools = self.table.tools
        arguments: Any = call.arguments
        try:
            arguments = read_arguments(call.name, arguments)
            parameters = tools.find(call.name).parameters
            arguments = read_arguments(call.name, arguments, parameters)
            action = tools.action(call.name, arguments)
        except ToolArgumentError as problem:
            said = f"{problem} Perhaps because {remark}." if remark else str(problem)
            self.table.refuse(call.name, arguments, said)
            result = compact({"status": ERROR, "message": said})
        else:
            observation = await self.table.act(action)
            result = shortened(tools.answer(observation))
        self.conversation.add_tool_result(call, result)
