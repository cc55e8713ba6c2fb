"""The transformer, made from nothing, and its supervised lessons."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from research.learning_lm.settings import Lessons, Shape
from research.learning_lm.traces import Chat

POOL = 8
"""Batches that are sorted by length together."""
IGNORED = -100
"""Marks tokens that the model does not say itself."""


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load(folder: Path) -> tuple[Any, Any]:
    """A model and its tokeniser, as `save_pretrained` wrote them."""
    from transformers import AutoTokenizer, Lfm2ForCausalLM

    model = Lfm2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.to(device()), AutoTokenizer.from_pretrained(folder)


def make_model(tokeniser: Any, shape: Shape, seed: int) -> Any:
    """A decoder of random weights that speaks this tokeniser's tokens.

    Convolutions, which see the last few tokens, and attention take turns: what stands beside what
    is seen from the first step on, which attention alone takes long to learn.
    """
    from transformers import Lfm2Config, Lfm2ForCausalLM

    torch.manual_seed(seed)
    return Lfm2ForCausalLM(
        Lfm2Config(
            vocab_size=len(tokeniser),
            hidden_size=shape.width,
            intermediate_size=4 * shape.width,
            block_auto_adjust_ff_dim=False,
            num_hidden_layers=shape.layers,
            layer_types=[("conv", "full_attention")[layer % 2] for layer in range(shape.layers)],
            conv_L_cache=shape.window,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=shape.places,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokeniser.eos_token_id,
            pad_token_id=tokeniser.pad_token_id,
        )
    )


@dataclass(frozen=True)
class Example:
    """A trace as numbers: its tokens, and whether the model says each of them."""

    tokens: list[int]
    said: list[int]


def examples_of(tokeniser: Any, chats: Sequence[Chat]) -> list[Example]:
    """Traces as the template writes them, and which tokens of them are the player's."""
    tokenised = [
        tokeniser.apply_chat_template(
            chat["messages"],
            tools=chat["tools"],
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        for chat in chats
    ]
    return [Example(each["input_ids"], each["assistant_masks"]) for each in tokenised]


def learn_from(
    model: Any, examples: Sequence[Example], lessons: Lessons, seed: int
) -> Iterator[float]:
    """Train a model in place on what the player of the traces said.

    Args:
        model: to be trained, on its own device.
        examples: to draw batches from, anew each time all were used.
        lessons: how.
        seed: of the order of the examples.

    Yields:
        The loss of each step, in nats a token.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=lessons.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: _rate((step + 1) / lessons.steps)
    )
    batches = _batches(examples, lessons.batch, random.Random(seed))
    model.train()
    for _ in range(lessons.steps):
        tokens, targets = (part.to(model.device) for part in _padded(next(batches), model))
        logits = model(input_ids=tokens).logits
        loss = cross_entropy(
            logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=IGNORED
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        yield loss.item()


def _rate(progress: float) -> float:
    """Share of the highest learning rate at some progress in (0, 1]."""
    if progress < 0.1:
        return progress / 0.1
    return 0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * (progress - 0.1) / 0.9))


def _batches(
    examples: Sequence[Example], batch: int, draw: random.Random
) -> Iterator[Sequence[Example]]:
    """Batches without end, each of examples of about one length, for little padding."""
    while True:
        order = draw.sample(examples, len(examples))
        for first in range(0, len(order), POOL * batch):
            pool = sorted(order[first : first + POOL * batch], key=lambda each: len(each.tokens))
            cuts = list(range(0, len(pool), batch))
            for cut in draw.sample(cuts, len(cuts)):
                yield pool[cut : cut + batch]


def _padded(examples: Sequence[Example], model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and targets, each of shape (examples, longest), padded on the right.

    Padding needs no mask: a token sees only what stands before it.
    """
    shape = (len(examples), max(len(each.tokens) for each in examples))
    tokens, targets = torch.full(shape, model.config.pad_token_id), torch.full(shape, IGNORED)
    for row, each in enumerate(examples):
        own = torch.tensor(each.tokens)
        tokens[row, : len(own)] = own
        targets[row, : len(own)] = own.where(torch.tensor(each.said) == 1, IGNORED)
    return tokens, targets
