"""Plays episodes with a model, several at a time, for training and for examinations.

The keys and values of a conversation are kept between its turns, so that each token is computed
once. TRL's own loop of tool calls computes the conversation again at every turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from openenv_kit.datasets.split_rows import TaskRow
from openenv_kit.reply import EndInfo
from openenv_kit.trainers.text_tool_calls import parse_tool_calls_in_text
from openenv_kit.trainers.tool_episode import ToolEpisode
from research.learning_lm.played_task import PlayedTask
from research.learning_lm.prompt import encode_prompt, encode_tool_results
from research.learning_lm.settings import ENVIRONMENT_NAME

MAX_TURNS = 5
"""Largest number of turns of the model; the reference needs three."""
MAX_TOKENS_OF_TURN = 80
MAX_TOKENS = 1_500
"""Length of a conversation from which on the episode ends."""
ROLLOUTS_PER_BATCH = 24


@dataclass
class Rollout:
    """An episode that a model plays, and the tokens of its conversation.

    Attributes:
        task: name of the task.
        episode: the episode.
        prompt_ids: tokens of the prompt.
        calendar: result of `calendar` that the model reads; None for the episode's own.
        completion_ids: tokens after the prompt.
        is_generated: for each of these, 1 if the model generated it and 0 if a tool returned it.
        submitted_ids: ids in the report; None if nothing was submitted.
        is_over: whether the model has no further turn.
    """

    task: str
    episode: ToolEpisode
    prompt_ids: list[int]
    calendar: str | None
    completion_ids: list[int] = field(default_factory=list)
    is_generated: list[int] = field(default_factory=list)
    submitted_ids: list[Any] | None = None
    is_over: bool = False

    def to_played_task(self) -> PlayedTask:
        """Return the episode's result."""
        components = EndInfo.from_info(self.episode.info).components
        return PlayedTask.from_components(
            self.task, self.submitted_ids, components, tokens=sum(self.is_generated)
        )

    def call_tool(self, name: str, arguments: Any) -> str:
        """Call a tool and return its result, or the result that replaces it."""
        result = self.episode.call_tool(name, arguments)
        if self.episode.is_done:
            self.is_over = True
            self.submitted_ids = arguments["ids"] if isinstance(arguments, dict) else None
        return self.calendar if name == "calendar" and self.calendar is not None else result

    def append(self, token_ids: Sequence[int], *, is_generated: bool) -> None:
        """Append tokens to the conversation."""
        self.completion_ids += token_ids
        self.is_generated += [int(is_generated)] * len(token_ids)


def play_tasks(
    model: Any,
    tokenizer: Any,
    rows: Sequence[TaskRow],
    *,
    calendar_rows: Sequence[TaskRow] | None = None,
    report_progress: Callable[[int], None] | None = None,
) -> list[PlayedTask]:
    """Play each task once, always with the most likely token.

    Args:
        model: model of `load_model`.
        tokenizer: tokenizer of `load_tokenizer`.
        rows: rows of the tasks.
        calendar_rows: for each task, the row of another task whose calendar the model reads; None
            for its own calendar.
        report_progress: function that is called with the number of finished tasks.
    """
    played: list[PlayedTask] = []
    sources: Sequence[TaskRow | None] = calendar_rows or [None] * len(rows)
    for first in range(0, len(rows), ROLLOUTS_PER_BATCH):
        batch = slice(first, first + ROLLOUTS_PER_BATCH)
        rollouts = play_rollouts(model, tokenizer, rows[batch], sources[batch])
        played += [rollout.to_played_task() for rollout in rollouts]
        if report_progress is not None:
            report_progress(len(played))
    return played


def play_rollouts(
    model: Any,
    tokenizer: Any,
    rows: Sequence[TaskRow],
    calendar_rows: Sequence[TaskRow | None] | None = None,
    *,
    temperature: float | None = None,
) -> list[Rollout]:
    """Play an episode for each row, all at the same time.

    Args:
        model: model of `load_model`.
        tokenizer: tokenizer of `load_tokenizer`.
        rows: rows of the tasks; a task may occur several times.
        calendar_rows: see `play_tasks`.
        temperature: sampling temperature; None for the most likely token.
    """
    prompt_ids = encode_prompt(tokenizer)
    rollouts = [
        _start_rollout(row, prompt_ids, calendar_row)
        for row, calendar_row in zip(rows, calendar_rows or [None] * len(rows), strict=True)
    ]
    batch = _Batch(model, tokenizer, rollouts, temperature)
    for _ in range(MAX_TURNS):
        if not batch.rollouts:
            break
        batch.play_turn()
    return rollouts


def _start_rollout(
    row: TaskRow, prompt_ids: Sequence[int], calendar_row: TaskRow | None
) -> Rollout:
    episode = ToolEpisode(environment=ENVIRONMENT_NAME)
    episode.reset(row)
    calendar = None
    if calendar_row is not None:
        other = ToolEpisode(environment=ENVIRONMENT_NAME)
        other.reset(calendar_row)
        calendar = other.call_tool("calendar", {})
    return Rollout(row["task"], episode, list(prompt_ids), calendar)


class _Batch:
    """The rollouts that are not over, with their tokens and their keys and values.

    Turns and tool results differ in length, so the rows of `token_ids` contain padding between
    them, which `attention_mask` marks with 0.
    """

    def __init__(
        self, model: Any, tokenizer: Any, rollouts: Sequence[Rollout], temperature: float | None
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self.rollouts = list(rollouts)
        self._token_ids = torch.tensor([rollout.prompt_ids for rollout in rollouts])
        self._attention_mask = torch.ones_like(self._token_ids)
        self._cache = DynamicCache()
        self._sampling: dict[str, Any] = {"do_sample": False}
        if temperature is not None:
            self._sampling = {
                "do_sample": True,
                "temperature": temperature,
                "top_k": 0,
                "top_p": 1.0,
            }

    def play_turn(self) -> None:
        """Generate the next turn of all rollouts, execute its calls and drop what is over."""
        turns = self._generate_turns()
        results = [
            self._finish_turn(rollout, turn)
            for rollout, turn in zip(self.rollouts, turns, strict=True)
        ]
        self._append_block(turns, is_left_aligned=True)
        remaining = [n for n, rollout in enumerate(self.rollouts) if not rollout.is_over]
        self.rollouts = [self.rollouts[number] for number in remaining]
        if not remaining:
            return
        self._token_ids = self._token_ids[remaining]
        self._attention_mask = self._attention_mask[remaining]
        self._cache.batch_select_indices(torch.tensor(remaining))
        self._append_block([results[number] for number in remaining], is_left_aligned=False)

    @torch.no_grad()
    def _generate_turns(self) -> list[list[int]]:
        length = self._token_ids.shape[1]
        # Within one context, the weights are converted to bfloat16 once instead of at each token.
        with torch.autocast(self._token_ids.device.type, torch.bfloat16):
            output = self._model.generate(
                input_ids=self._token_ids,
                attention_mask=self._attention_mask,
                past_key_values=self._cache,
                max_new_tokens=MAX_TOKENS_OF_TURN,
                eos_token_id=self._tokenizer.eos_token_id,
                pad_token_id=self._tokenizer.pad_token_id,
                **self._sampling,
            )
        end = self._tokenizer.eos_token_id
        return [
            tokens[: tokens.index(end) + 1] if end in tokens else tokens
            for tokens in output[:, length:].tolist()
        ]

    def _finish_turn(self, rollout: Rollout, turn: Sequence[int]) -> list[int]:
        """Execute the calls of a turn and return the tokens of their results."""
        rollout.append(turn, is_generated=True)
        text = self._tokenizer.decode(turn, skip_special_tokens=True)
        calls = parse_tool_calls_in_text(text).calls
        results = [rollout.call_tool(call.name, call.arguments) for call in calls]
        is_complete = turn[-1] == self._tokenizer.eos_token_id
        if rollout.is_over or not calls or not is_complete:
            rollout.is_over = True
            return []
        token_ids = encode_tool_results(self._tokenizer, results)
        length = len(rollout.prompt_ids) + len(rollout.completion_ids) + len(token_ids)
        if length > MAX_TOKENS:
            rollout.is_over = True
            return []
        rollout.append(token_ids, is_generated=False)
        return token_ids

    def _append_block(self, rows: Sequence[Sequence[int]], *, is_left_aligned: bool) -> None:
        """Append one row of tokens to each conversation, padded to one length."""
        length = max(map(len, rows))
        token_ids = torch.full((len(rows), length), self._tokenizer.pad_token_id)
        attention_mask = torch.zeros_like(token_ids)
        for number, row in enumerate(rows):
            first = 0 if is_left_aligned else length - len(row)
            token_ids[number, first : first + len(row)] = torch.tensor(row)
            attention_mask[number, first : first + len(row)] = 1
        self._token_ids = torch.cat((self._token_ids, token_ids), dim=1)
        self._attention_mask = torch.cat((self._attention_mask, attention_mask), dim=1)
