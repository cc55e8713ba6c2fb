"""A small tokeniser made from traces: what is frequent is one token, what decides nothing is none.

Words that all traces begin a message with, such as the reporting policy, are one token. A candidate
of `scan` is two, its name with the sign of its change and then its id, and a date is its day of the
month, which is its own in an episode of 28 days. All names of a date are read once more before its
candidates. Any other text falls apart into words, pairs of digits and characters, so the model can
say whatever a tool takes.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from research.learning_lm.traces import Chat

ROLES = ("system", "user", "assistant", "tool")
CALL, CALLED, END, PAD = "<call>", "</call>", "<end>", "<pad>"
UNKNOWN = "<unknown>"
SPECIAL = (PAD, UNKNOWN, END, CALL, CALLED, *(f"<{role}>" for role in ROLES))

UNREAD = (
    (r',"end_date":.*', ""),  # the end of the opening
    (r"(\d\.\d{4}: )?\d+ of \d+ expected.*", ""),  # how a report was graded: it is too late
    (r'(?<="status":"error").*', ""),
    (r'"\d{4}-\d\d-(?=\d\d")', "@"),  # year and month of a date
)
"""Patterns of what is not read, and what stands for it."""
PIECES = r"@\d\d|[a-z]+(?:[_:][a-z]+)+[+-]?|\d{1,2}"
"""Days, names of series with the sign of a change, pairs of digits."""
LONGEST = 200
"""Most characters of a piece."""

TEMPLATE = """\
{%- for message in messages -%}
{{- '<' + message.role + '>' -}}
{%- if message.role == 'assistant' -%}
{%- generation -%}
{{- message.content or '' -}}
{%- for call in message.tool_calls or [] -%}
{{- '<call>{"name":"' + call.function.name + '","arguments":' -}}
{{- call.function.arguments | tojson(separators=(',', ':')) + '}</call>' -}}
{%- endfor -%}
{{- '<end>' -}}
{%- endgeneration -%}
{%- elif message.name == 'scan' and '"rows":[[' in message.content -%}
{%- for day in message.content.split('"rows":[["')[1].split(']]],["') | reverse -%}
{{- '@' + day[8:10] -}}
{%- for again in [false, true] -%}
{%- for candidate in day.split('[[')[1].split('],[') | reverse -%}
{%- set parts = candidate.split(',') -%}
{{- parts[0].strip('"') + ('-' if parts[2][0] == '-' else '+') -}}
{{- parts[1] if again else '' -}}
{%- endfor -%}
{%- endfor -%}
{%- endfor -%}
{%- else -%}
{{- message.content -}}
{%- if message.role == 'system' -%}
{%- for tool in (tools or []) | sort(attribute='function.name') -%}
{{- ('\\n' if loop.first else ' ') + tool.function.name -}}
{%- endfor -%}
{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<assistant>' -}}{%- endif -%}
"""
"""A turn is its role and its text; calls are JSON objects in one line. Tools are told by name.

An answer of `scan` is told from the last candidate to the first, the names of a date before its
candidates, and each name before its id: a model that reads from left to right then knows, when it
reads an id, what else is flagged on the date and what comes after. It answers in order of ids.
"""

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


def texts_of(chats: Iterable[Chat]) -> Iterator[tuple[str, str]]:
    """Who says it, and every text that the template may put into a context."""
    for chat in chats:
        names = " ".join(sorted(tool["function"]["name"] for tool in chat["tools"]))
        for message in chat["messages"]:
            role = message["role"]
            own = f"\n{names}" if role == "system" else ""
            yield f"{role} {message.get('name', '')}", (message["content"] or "") + own
            for call in message.get("tool_calls") or ():
                function = call["function"]
                tool_call = {"name": function["name"], "arguments": function["arguments"]}
                yield function["name"], json.dumps(tool_call, separators=(",", ":"))


def make_tokeniser(chats: Sequence[Chat], size: int = 1024) -> Any:
    """A tokeniser for chats like these, about `size` tokens large at most, as transformers has it.

    Raises:
        ImportError: transformers is not installed.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    beginnings = _beginnings(chats)
    raw = Tokenizer(
        models.WordPiece(
            vocab=_vocabulary(chats, beginnings, size),
            unk_token=UNKNOWN,
            max_input_chars_per_word=LONGEST,
            continuing_subword_prefix="",
        )
    )
    raw.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(pattern), given) for pattern, given in UNREAD]
    )
    raw.pre_tokenizer = Split(Regex(PIECES), behavior="isolated")
    raw.decoder = decoders.Fuse()
    raw.add_tokens([AddedToken(each, normalized=False) for each in beginnings])
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


def _beginnings(chats: Sequence[Chat]) -> list[str]:
    """What messages begin with that many share, up to where numbers or lists may follow.

    Prompts begin in one of a few ways, one for each level; all answers of a tool begin alike.
    """
    kinds: dict[str, list[str]] = {}
    for kind, text in texts_of(chats):
        kinds.setdefault(kind, []).append(text)
    prompts = Counter(
        text.partition("{")[0] for kind in ("system ", "user ") for text in kinds.pop(kind, ())
    )
    shared = (_beginning(texts).rstrip('0123456789-"[') for texts in kinds.values())
    often = [text for text, count in prompts.items() if count > 1]
    return [each for each in dict.fromkeys([*often, *shared]) if len(each) > 1]


def _beginning(texts: Sequence[str]) -> str:
    """The longest text that all of these begin with."""
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((place for place, (one, other) in pairs if one != other), len(first))]


def _vocabulary(chats: Sequence[Chat], beginnings: Sequence[str], size: int) -> dict[str, int]:
    """Numbers of all tokens: those that no text can do without, then what saves most."""
    numbers = ["".join(pair) for pair in product(string.digits, repeat=2)]
    days = [f"@{day:02}" for day in range(1, 32)]
    counts: Counter[str] = Counter()
    for _, text in texts_of(chats):
        rest = text
        for beginning in beginnings:
            rest = rest.removeprefix(beginning)
        for pattern, given in UNREAD:
            rest = re.sub(pattern, given, rest)
        for piece in re.split(f"({PIECES})", rest):
            counts[piece] += 1
            if re.fullmatch(r"[a-z]+(?:[_:][a-z]+)+", piece):
                counts.update((f"{piece}+", f"{piece}-"))
            words = re.findall(r"[A-Za-z]+|[^A-Za-z]+", piece)
            if len(words) > 1:
                counts.update(words)
    saved = {piece: count * (len(piece) - 1) for piece, count in counts.items() if count > 1}
    best = sorted(saved, key=lambda piece: (-saved[piece], piece))
    needed = [*SPECIAL, *string.printable, *numbers, *days]
    tokens = dict.fromkeys([*needed, *(piece for piece in best if 1 < len(piece) <= LONGEST)])
    return {token: number for number, token in enumerate(list(tokens)[:size])}
