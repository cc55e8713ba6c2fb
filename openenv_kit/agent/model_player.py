"""Plays episodes with a model: executes its tool calls and sends the results back to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from openenv_kit.agent.chat_endpoint import OpenAIEndpoint
from openenv_kit.agent.completions import ChatMessage, ModelAnswer, ModelToolCall
from openenv_kit.agent.failure_messages import ContextFullError
from openenv_kit.agent.player_episode import PlayerEpisode
from openenv_kit.agent.prompts import (
    build_last_answer_notice,
    build_tool_call_reminder,
    format_truncated_json,
)
from openenv_kit.agent.servers import PrintStatus
from openenv_kit.agent.settings import AgentSettings
from openenv_kit.agent.text_calls import find_tool_call_written_as_text
from openenv_kit.agent.tool_arguments import parse_tool_arguments
from openenv_kit.agent.transcript import Transcript
from openenv_kit.errors import ToolArgumentError
from openenv_kit.json_text import compact_json
from openenv_kit.reply import ReplyStatus

FIRST_PROGRESS_AFTER_S = 15.0
"""Waiting time for a model's response before the first status message, in seconds.

The interval between status messages doubles with each message.
"""
MAX_MESSAGE_CHARACTERS_PER_TOKEN = 5
MAX_TOOL_CHARACTERS_PER_TOKEN = 8
"""Upper bounds on characters per token. Some chat templates shorten the JSON of the tools."""


class ChatEndpoint(Protocol):
    """Sends requests to a model."""

    model: str

    async def request_answer(
        self, messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]]
    ) -> ModelAnswer:
        """Send a conversation to the model and return its response."""

    async def close(self) -> None:
        """Close the connections to the endpoint."""


class ModelPlayer:
    """Plays episodes with a model.

    Args:
        settings: settings of the run.
        endpoint: client for the model; None for a client with the endpoint in the settings.
        print_status: prints a message for each failed request.
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
        """Play until the episode ends, the model stops calling tools, or a limit is reached."""
        await _ModelEpisode(self._endpoint, self._settings, episode).play_episode()

    async def close(self) -> None:
        """Close the endpoint's connections."""
        await self._endpoint.close()


@dataclass
class _ModelEpisode:
    """State of an episode that a model plays.

    Attributes:
        endpoint: client for the model.
        settings: settings of the run.
        episode: the episode.
        transcript: messages of the conversation.
        is_reminded: whether the model was reminded to call a tool.
        has_called_tool: whether the model has called a tool.
        ignores_tools: whether the endpoint counted fewer prompt tokens than the tools need, which
            suggests that the model's chat template drops the tools.
        text_call_marker: part of the last response that looks like a tool call written as text;
            empty if there is no such part.
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
        environment = self.episode.environment
        reset_observation = self.episode.reset_observation
        transcript = self.transcript
        transcript.add_message("system", environment.build_system_prompt(reset_observation))
        transcript.add_message("user", environment.tools.first_user_message(reset_observation))
        max_rounds = self.settings.max_tool_rounds
        if "max_tool_rounds" not in self.settings.model_fields_set:
            max_rounds = environment.episode_limits.max_tool_rounds
        for round_number in range(1, max_rounds + 1):
            is_last_round = round_number == max_rounds
            is_last = is_last_round or self._is_token_budget_nearly_used()
            if is_last:
                transcript.add_notice_to_last_message(build_last_answer_notice(self.episode.tools))
            answer = await self._request_answer_and_count_tokens()
            for call in transcript.add_answer_with_unique_call_ids(answer):
                await self._execute_call_and_add_result(call, answer.problem)
                if self.episode.is_done:
                    return
            if is_last:
                used_up = "rounds (MAX_TOOL_ROUNDS)" if is_last_round else "tokens (TOKEN_BUDGET)"
                self.episode.stop_reason = self._describe_used_up_limit(used_up, answer)
                return
            if not answer.tool_calls:
                if self.is_reminded:
                    self.episode.stop_reason = self._describe_stop_without_tool_call(answer)
                    return
                self.is_reminded = True
                transcript.add_notice_to_last_message(build_tool_call_reminder(self.episode.tools))

    def _describe_used_up_limit(self, limit_name: str, last_answer: ModelAnswer) -> str:
        problem = f" In the last answer, {last_answer.problem}." if last_answer.problem else ""
        return (
            f"No report was submitted: no {limit_name} left.{problem}"
            f"{self._diagnose_missing_tool_calls()}"
        )

    def _describe_stop_without_tool_call(self, last_answer: ModelAnswer) -> str:
        stopped = "stopped calling tools" if self.has_called_tool else "never called a tool"
        reason = last_answer.problem or f"the model {stopped}"
        return (
            f"No report was submitted: {reason}, after one reminder."
            f"{self._diagnose_missing_tool_calls()}"
        )

    def _diagnose_missing_tool_calls(self) -> str:
        """Return a sentence with the likely cause of missing tool calls; empty if it is unknown."""
        if self.text_call_marker:
            return (
                f" The model wrote a tool call as text ({self.text_call_marker}), which is "
                "not executed: the server has no tool-call parser for this model, or the wrong "
                "one. Start the server with the right one (vLLM, SGLang: "
                "--tool-call-parser; llama.cpp: --jinja), or choose another MODEL_NAME."
            )
        if self.has_called_tool or not self.ignores_tools:
            return ""
        return (
            " The endpoint counted fewer prompt tokens than the tools need, so the model's chat "
            "template seems to ignore tools: choose another MODEL_NAME, or start the server with "
            "a template that supports tools."
        )

    async def _request_answer_and_count_tokens(self) -> ModelAnswer:
        """Request the next response and add its tokens to the usage.

        If the conversation is too long, older tool results are removed first.
        """
        tools = self.episode.tools.chat_tools
        while True:
            try:
                async with self._print_waiting_time_in_background():
                    answer = await self.endpoint.request_answer(
                        self.transcript.request_messages, tools
                    )
                break
            except ContextFullError:
                if not self.transcript.omit_old_tool_results():
                    raise
                self.episode.print_status(
                    "The conversation is too long for the model; older tool results are removed."
                )
        self.has_called_tool |= bool(answer.tool_calls)
        names = self.episode.tools.tool_names
        self.text_call_marker = (
            "" if answer.tool_calls else find_tool_call_written_as_text(answer.text, names)
        )
        if answer.has_token_counts:
            self.ignores_tools = answer.prompt_tokens < self._estimate_min_prompt_tokens(tools)
        self._add_tokens_and_cost(answer)
        return answer

    @asynccontextmanager
    async def _print_waiting_time_in_background(self) -> AsyncIterator[None]:
        """Print status messages about the waiting time until the `async with` block ends."""

        async def print_waiting_time_repeatedly() -> None:
            pause_s = FIRST_PROGRESS_AFTER_S
            start_s = time.monotonic()
            while True:
                await asyncio.sleep(pause_s)
                waited_s = time.monotonic() - start_s
                self.episode.print_status(
                    f"Waiting for {self.endpoint.model} for {waited_s:.0f} s; at most "
                    f"{self.settings.answer_timeout_s:g} s (MODEL_TIMEOUT_S, "
                    "MODEL_ANSWER_TIMEOUT_S) …"
                )
                pause_s = waited_s

        task = asyncio.create_task(print_waiting_time_repeatedly())
        try:
            yield
        finally:
            task.cancel()

    def _estimate_min_prompt_tokens(self, tools: Sequence[Mapping[str, Any]]) -> int:
        """Return a lower bound on the prompt tokens of the messages and the tools."""
        message_characters = sum(
            len(str(message["content"])) for message in self.transcript.request_messages
        )
        return (
            message_characters // MAX_MESSAGE_CHARACTERS_PER_TOKEN
            + len(compact_json(tools)) // MAX_TOOL_CHARACTERS_PER_TOKEN
        )

    def _add_tokens_and_cost(self, answer: ModelAnswer) -> None:
        usage = self.episode.usage
        usage.calls += 1
        usage.prompt_tokens += answer.prompt_tokens
        usage.completion_tokens += answer.completion_tokens
        usage.uncounted_calls += not answer.has_token_counts
        usage.last_call_tokens = answer.prompt_tokens + answer.completion_tokens
        cost_usd = (
            self._compute_cost_usd_from_price_settings(answer)
            if answer.cost_usd is None
            else answer.cost_usd
        )
        if cost_usd is not None:
            usage.cost = (usage.cost or 0.0) + cost_usd

    def _compute_cost_usd_from_price_settings(self, answer: ModelAnswer) -> float | None:
        """Compute the cost of a response from the prices in the settings; None if none are set."""
        input_price = self.settings.input_price_per_million
        output_price = self.settings.output_price_per_million
        if input_price is None or output_price is None:
            return None
        cost = answer.prompt_tokens * input_price + answer.completion_tokens * output_price
        return cost / 1_000_000

    def _is_token_budget_nearly_used(self) -> bool:
        """Return whether the token budget is too small for two more calls like the last one."""
        budget, usage = self.settings.token_budget, self.episode.usage
        return budget > 0 and usage.total_tokens + 2 * usage.last_call_tokens > budget

    async def _execute_call_and_add_result(
        self, call: ModelToolCall, possible_error_cause: str
    ) -> None:
        """Execute a tool call, or log it as rejected, and add its result to the transcript."""
        tools = self.episode.tools
        arguments: Any = call.arguments
        try:
            arguments = parse_tool_arguments(call.name, arguments)
            parameters = tools.find_tool(call.name).parameters
            arguments = parse_tool_arguments(call.name, arguments, parameters)
            action = tools.build_action(call.name, arguments)
        except ToolArgumentError as problem:
            message = str(problem)
            if possible_error_cause:
                message += f" Perhaps because {possible_error_cause}."
            self.episode.log_rejected_call(call.name, arguments, message)
            result = compact_json({"status": ReplyStatus.ERROR, "message": message})
        else:
            observation = await self.episode.send_action_and_log_step(action)
            result = format_truncated_json(tools.format_tool_result(observation))
        self.transcript.add_tool_result(call, result)
