"""A model as a player: asks it, makes its tool calls, and returns their results to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from openenv_kit.agent.chat_endpoint import ChatMessage, ModelAnswer, ModelToolCall, OpenAIEndpoint
from openenv_kit.agent.failure_messages import ContextFullError
from openenv_kit.agent.player_episode import PlayerEpisode
from openenv_kit.agent.prompts import last_turn_notice, no_tool_call_reminder, truncate_result
from openenv_kit.agent.servers import PrintStatus
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.text_calls import find_tool_call_marker
from openenv_kit.agent.tool_arguments import parse_tool_arguments
from openenv_kit.agent.transcript import Transcript
from openenv_kit.errors import ToolArgumentError
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus

FIRST_PROGRESS_AFTER_S = 15.0
"""Seconds of waiting for an answer before the first line of progress; each pause is doubled."""
MAX_MESSAGE_CHARACTERS_PER_TOKEN, MAX_TOOL_CHARACTERS_PER_TOKEN = 5, 8
"""More than any tokenizer needs, also for templates that shorten the tools' JSON."""


class ChatEndpoint(Protocol):
    """What a model is asked through."""

    model: str

    async def request_answer(
        self, messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]]
    ) -> ModelAnswer:
        """One answer to a conversation."""

    async def close(self) -> None:
        """Release the connections."""


class ModelPlayer:
    """Plays episodes with a model, by default the settings' through the openai client.

    Args:
        settings: of the run.
        endpoint: through which the model is asked; None for the settings'.
        print_status: told about requests that failed.
    """

    def __init__(
        self,
        settings: AgentSettings,
        endpoint: ChatEndpoint | None = None,
        print_status: PrintStatus = lambda _: None,
    ) -> None:
        self._settings = settings
        self._endpoint = OpenAIEndpoint(settings, print_status) if endpoint is None else endpoint
        self.name = self._endpoint.model
        self.score_settings: Mapping[str, Any] = settings.score_settings

    async def play_episode(self, episode: PlayerEpisode) -> None:
        """Play until a report is graded, the model stops, or rounds or tokens run out."""
        await _ModelEpisode(self._endpoint, self._settings, episode).play_episode()

    async def close(self) -> None:
        """Release the endpoint's connections."""
        await self._endpoint.close()


@dataclass
class _ModelEpisode:
    """One episode that a model plays.

    Attributes:
        is_reminded: whether the model was told that text alone does nothing.
        has_called_tool: whether it ever called a tool.
        ignores_tools: whether the endpoint counted too few tokens for the tools to be among them.
        text_call_marker: mark of a tool call in the text of the last answer; empty if it has none.
    """

    endpoint: ChatEndpoint
    settings: AgentSettings
    episode: PlayerEpisode
    transcript: Transcript = field(init=False)
    is_reminded: bool = False
    has_called_tool: bool = False
    ignores_tools: bool = False
    text_call_marker: str = ""

    def __post_init__(self) -> None:
        self.transcript = Transcript(self.episode.transcript)

    async def play_episode(self) -> None:
        environment, opening = self.episode.environment, self.episode.reset_observation
        conversation = self.transcript
        conversation.add_message("system", environment.system_prompt(opening))
        conversation.add_message("user", environment.tools.first_user_message(opening))
        rounds = self.settings.max_tool_rounds
        if "max_tool_rounds" not in self.settings.model_fields_set:
            rounds = environment.episode_limits.max_tool_rounds
        for number in range(1, rounds + 1):
            last = number == rounds or self._is_token_budget_nearly_used()
            if last:
                conversation.add_notice(last_turn_notice(self.episode.tools))
            answer = await self._request_answer()
            for call in conversation.add_answer(answer):
                await self._execute_tool_call(call, answer.problem)
                if self.episode.is_done:
                    return
            if last:
                why = "rounds (MAX_TOOL_ROUNDS)" if number == rounds else "tokens (TOKEN_BUDGET)"
                also = f" In the end {answer.problem}." if answer.problem else ""
                self.episode.stop_reason = (
                    f"No report was submitted: no {why} left.{also}"
                    f"{self._explain_missing_tool_calls()}"
                )
                return
            if not answer.tool_calls:
                if self.is_reminded:
                    self.episode.stop_reason = self._explain_stop(answer)
                    return
                self.is_reminded = True
                conversation.add_notice(no_tool_call_reminder(self.episode.tools))

    def _explain_stop(self, answer: ModelAnswer) -> str:
        stopped = "stopped calling tools" if self.has_called_tool else "never called a tool"
        remark = answer.problem or f"the model {stopped}"
        return (
            f"No report was submitted: {remark}, after one reminder."
            f"{self._explain_missing_tool_calls()}"
        )

    def _explain_missing_tool_calls(self) -> str:
        """Return a sentence about calls that did not arrive as such, if the reason is known."""
        if self.text_call_marker:
            return (
                f" The model wrote a tool call as text ({self.text_call_marker}), which is "
                "not executed: the server has no tool-call parser for this model, or one that "
                "does not fit. Start the server with the right one (vLLM, SGLang: "
                "--tool-call-parser; llama.cpp: --jinja), or choose another MODEL_NAME."
            )
        if self.has_called_tool or not self.ignores_tools:
            return ""
        return (
            " The endpoint counted fewer prompt tokens than the tools need, so the model's chat "
            "template seems to ignore tools: choose another MODEL_NAME, or start the server with "
            "a template that supports tools."
        )

    async def _request_answer(self) -> ModelAnswer:
        """One answer; its tokens are counted."""
        tools = self.episode.tools.chat_tools
        while True:
            try:
                async with self._report_waiting():
                    answer = await self.endpoint.request_answer(
                        self.transcript.request_messages, tools
                    )
                break
            except ContextFullError:
                if not self.transcript.drop_old_tool_results():
                    raise
                self.episode.print_status(
                    "The conversation is too long for the model; older tool results are left out."
                )
        self.has_called_tool |= bool(answer.tool_calls)
        names = self.episode.tools.tool_names
        self.text_call_marker = (
            "" if answer.tool_calls else find_tool_call_marker(answer.text, names)
        )
        if answer.has_token_counts:
            self.ignores_tools = answer.prompt_tokens < self._estimate_min_prompt_tokens(tools)
        self._add_token_usage(answer)
        return answer

    @asynccontextmanager
    async def _report_waiting(self) -> AsyncIterator[None]:
        """Report now and then that the model has not answered yet."""

        async def report() -> None:
            pause_s, began = FIRST_PROGRESS_AFTER_S, time.monotonic()
            while True:
                await asyncio.sleep(pause_s)
                waited_s = time.monotonic() - began
                self.episode.print_status(
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

    def _estimate_min_prompt_tokens(self, tools: Sequence[Mapping[str, Any]]) -> int:
        """Return how many prompt tokens the messages and the tools need at the very least."""
        messages = sum(len(str(each["content"])) for each in self.transcript.request_messages)
        return (
            messages // MAX_MESSAGE_CHARACTERS_PER_TOKEN
            + len(compact_json(tools)) // MAX_TOOL_CHARACTERS_PER_TOKEN
        )

    def _add_token_usage(self, answer: ModelAnswer) -> None:
        usage = self.episode.usage
        usage.calls += 1
        usage.prompt_tokens += answer.prompt_tokens
        usage.completion_tokens += answer.completion_tokens
        usage.uncounted_calls += not answer.has_token_counts
        usage.last_call_tokens = answer.prompt_tokens + answer.completion_tokens
        cost, asked, said = (
            answer.cost_usd,
            self.settings.input_price_per_million,
            self.settings.output_price_per_million,
        )
        if cost is None and asked is not None and said is not None:
            cost = (answer.prompt_tokens * asked + answer.completion_tokens * said) / 1_000_000
        if cost is not None:
            usage.cost = (usage.cost or 0.0) + cost

    def _is_token_budget_nearly_used(self) -> bool:
        """Whether the tokens left are too few for two more calls like the last one."""
        budget, usage = self.settings.token_budget, self.episode.usage
        return budget > 0 and usage.total_tokens + 2 * usage.last_call_tokens > budget

    async def _execute_tool_call(self, call: ModelToolCall, answer_problem: str) -> None:
        tools = self.episode.tools
        arguments: Any = call.arguments
        try:
            arguments = parse_tool_arguments(call.name, arguments)
            parameters = tools.find_tool(call.name).parameters
            arguments = parse_tool_arguments(call.name, arguments, parameters)
            action = tools.build_action(call.name, arguments)
        except ToolArgumentError as problem:
            said = (
                f"{problem} Perhaps because {answer_problem}." if answer_problem else str(problem)
            )
            self.episode.log_rejected_call(call.name, arguments, said)
            result = compact_json({"status": ReplyStatus.ERROR, "message": said})
        else:
            observation = await self.episode.step(action)
            result = truncate_result(tools.format_tool_result(observation))
        self.transcript.add_tool_result(call, result)
