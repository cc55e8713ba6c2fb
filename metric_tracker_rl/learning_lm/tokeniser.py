"""A small tokeniser made from traces: what is frequent is one token.

Numbers are read two digits at a time, so an id below 100 is one token and never part of another.
Between numbers and names a piece that many traces share is one token however long it is, so the
unchanging words of the policy cost little; any other text falls apart into words and characters.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterable
from itertools import product
from typing import Any

from metric_tracker_rl.learning_lm.traces import Chat

ROLES = ("system", "user", "assistant", "tool")
CALL, CALLED, END, PAD = "<call>", "</call>", "<end>", "<pad>"
UNKNOWN = "<unknown>"
SPECIAL = (PAD, UNKNOWN, END, CALL, CALLED, *(f"<{role}>" for role in ROLES))

NUMBERS_AND_NAMES = r"-?0\.(?=\d)|\d{1,2}|[a-z]+(?:[_:][a-z]+)+"
"""Signs with the zero before a fraction, pairs of digits, names of series."""
LONGEST = 2000
"""Most characters of a piece."""

TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<' + message.role + '>' -}}"
    "{%- if message.role == 'assistant' -%}{%- generation -%}"
    "{{- message.content or '' -}}"
    "{%- for call in message.tool_calls or [] -%}"
    '{{- \'<call>{"name":"\' + call.function.name + \'","arguments":\' -}}'
    "{{- call.function.arguments | tojson(separators=(',', ':')) + '}</call>' -}}"
    "{%- endfor -%}{{- '<end>' -}}{%- endgeneration -%}"
    "{%- else -%}{{- message.content -}}"
    "{%- if message.role == 'system' -%}{%- for tool in tools or [] -%}"
    "{{- ' ' + tool.function.name -}}"
    "{%- endfor -%}{%- endif -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<assistant>' -}}{%- endif -%}"
)
"""A turn is its role and its text; calls are JSON objects in one line. Tools are told by name."""

RESPONSE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<assistant>",
    "fields": {
        "tool_calls": {
            "open": CALL,
            "close_pattern": CALLED,
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": END, "content": "text"},
    },
}
"""How transformers reads calls out of what the model said."""


def texts_of(chats: Iterable[Chat]) -> Iterable[str]:
    """Every text that the template may put into a context."""
    for chat in chats:
        for message in chat["messages"]:
            yield message["content"]
            for call in message.get("tool_calls", ()):
                function = call["function"]
                told = {"name": function["name"], "arguments": function["arguments"]}
                yield json.dumps(told, separators=(",", ":"))
        yield " ".join(tool["function"]["name"] for tool in chat["tools"])


def make_tokeniser(chats: Iterable[Chat], size: int = 1024) -> Any:
    """A tokeniser for chats like these, at most `size` tokens large, as transformers has it.

    Raises:
        ImportError: transformers is not installed.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(
        models.WordPiece(
            vocab=_vocabulary(chats, size),
            unk_token=UNKNOWN,
            max_input_chars_per_word=LONGEST,
            continuing_subword_prefix="",
        )
    )
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(NUMBERS_AND_NAMES), behavior="isolated")
    raw.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=list(SPECIAL[3:]),
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = TEMPLATE
    made.response_template = RESPONSE
    return made


def _vocabulary(chats: Iterable[Chat], size: int) -> dict[str, int]:
    """Numbers of all tokens: those that no text can do without, then what saves most."""
    numbers = ["".join(pair) for pair in product(string.digits, repeat=2)]
    needed = [*SPECIAL, *string.printable, *numbers, "0.", "-0."]
    counts: Counter[str] = Counter()
    for chat in chats:
        for text in texts_of([chat]):
            for piece in re.split(f"({NUMBERS_AND_NAMES})", text):
                counts[piece] += 1
                words = re.findall(r"[A-Za-z]+|[^A-Za-z]+", piece)
                if len(words) > 1:
                    counts.update(words)
    saved = {piece: count * (len(piece) - 1) for piece, count in counts.items() if count > 1}
    best = sorted(saved, key=lambda piece: (-saved[piece], piece))
    tokens = dict.fromkeys([*needed, *(piece for piece in best if len(piece) <= LONGEST)])
    return {token: number for number, token in enumerate(list(tokens)[:size])}
