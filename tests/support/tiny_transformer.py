"""A tiny transformer with a tokenizer of its own, for checks with TRL's trainer.

The transformer is real: random weights and gradients. Only its samples are scripted: `generate`
returns the next tool call of a policy, as tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import trl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from openenv_kit.environment import get_environment
from openenv_kit.trainers.scripted_calls import get_next_scripted_call

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOOL_RESULT = re.compile(r"<tool_response>\n(.*?)\n</tool_response>", re.DOTALL)
FIRST_MESSAGE = re.compile(r"<\|im_start\|>user\n(?!<tool_response>)(.*?)<\|im_end\|>", re.DOTALL)
MAX_TOKENS = 32_768
VOCABULARY_SIZE = 3000


class ScriptedTransformer(Qwen3ForCausalLM):
    """A transformer whose samples are the tool calls of a scripted policy."""

    tokenizer: Any = None
    policy: str = ""
    environment: str | None = None

    def generate(self, input_ids: Any, attention_mask: Any = None, **_: Any) -> Any:
        """Return the rows of `input_ids`, each with the policy's next tool call appended."""
        appended = []
        for row in input_ids:
            text = self.tokenizer.decode(row, skip_special_tokens=False)
            call = get_next_scripted_call(
                self.policy,
                TOOL_RESULT.findall(text),
                self.environment,
                "\n".join(FIRST_MESSAGE.findall(text)),
            )
            words = "Done." if call is None else format_tool_call(call.name, call.arguments)
            appended.append(self.tokenizer.encode(words + "<|im_end|>", add_special_tokens=False))
        longest = max(map(len, appended))
        pad = self.tokenizer.pad_token_id
        padded = [ids + [pad] * (longest - len(ids)) for ids in appended]
        return torch.cat([input_ids, torch.tensor(padded)], dim=1)


def format_tool_call(name: str, arguments: Any) -> str:
    """Return a tool call in the format of Qwen's chat template."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments)}}}\n</tool_call>'


def build_tokenizer(environments: Sequence[str]) -> PreTrainedTokenizerFast:
    """Train a tokenizer on the prompts of these environments; the result is always the same."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    corpus = [
        json.dumps(environment.tools.chat_tools) + environment.build_system_prompt()
        for environment in map(get_environment, environments)
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


def build_tiny_config(tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """Return the configuration of a transformer with one layer of width 16."""
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=MAX_TOKENS,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_scripted_model(
    tokenizer: PreTrainedTokenizerFast, policy: str, environment: str | None = None
) -> ScriptedTransformer:
    """Return a transformer whose samples are the tool calls of a policy."""
    torch.manual_seed(0)
    model = ScriptedTransformer(build_tiny_config(tokenizer))
    model.tokenizer, model.policy, model.environment = tokenizer, policy, environment
    return model
