"""Reads from a refusal how long an answer may be, in the wordings of several servers."""

from __future__ import annotations

import re

ANSWER_LENGTH = re.compile(
    r"max_?(completion_?|new_?|output_?)?tokens|maximum tokens you requested"
    r"|\b(output|completion|new) tokens|(in|for) the (completion|output)",
    re.IGNORECASE,
)
"""Words of a refusal that is about the length of the answer."""
PROMPT_LENGTH = re.compile(r"context|prompt|inputs?\b|messages", re.IGNORECASE)
"""Words of a refusal in which the prompt takes a part of the limit."""
NUMBER = r"(?<![\w.-])(\d{1,3}(?:,\d{3})+|\d+)(?![\w-]|\.\d)"
CONTEXT_SIZES = (
    re.compile(rf">\s*{NUMBER}"),
    re.compile(rf"<=\s*`?{NUMBER}"),
    re.compile(rf"context[^.\d]{{0,60}}{NUMBER}", re.IGNORECASE),
)
"""Where a refusal names the size of the context; the first that fits counts."""
EXCLUSIVE = re.compile(r"exclusive|(less|lower|smaller) than `?\d", re.IGNORECASE)
SMALLEST_LIMIT = 16
"""Smaller numbers are no limits, but ends of ranges and numbers of positions."""
GUESS_TOKENS = 1024
"""Tried where a refusal does not say how long an answer may be."""


def is_about_context(words: str) -> bool:
    """Whether a refusal says that the prompt and the answer do not fit together."""
    return ANSWER_LENGTH.search(words) is not None and PROMPT_LENGTH.search(words) is not None


def find_answer_limit(words: str, asked_tokens: int) -> int | None:
    """Return how many tokens an answer may have.

    Args:
        words: the endpoint's words about its refusal.
        asked_tokens: the limit that the request asked for.

    Returns:
        None where the refusal is not about the length of the answer; 0 or less where the prompt
        leaves no room for an answer; a guess where the refusal has no number.
    """
    if not ANSWER_LENGTH.search(words):
        return None
    numbers = [int(found.replace(",", "")) for found in re.findall(NUMBER, words)]
    others = [number for number in numbers if number != asked_tokens]
    if PROMPT_LENGTH.search(words):
        for pattern in CONTEXT_SIZES:
            if found := pattern.search(words):
                context = int(found[1].replace(",", ""))
                prompt = _prompt_tokens(numbers, context, asked_tokens)
                if prompt is not None:
                    return context - prompt
    limits = [number for number in others if SMALLEST_LIMIT <= number < asked_tokens]
    if limits:
        return max(limits) - (1 if EXCLUSIVE.search(words) else 0)
    return min(GUESS_TOKENS, asked_tokens // 2)


def _prompt_tokens(numbers: list[int], context: int, asked_tokens: int) -> int | None:
    """Return the prompt's tokens among the numbers of a refusal; None if they are not there."""
    parts = [number for number in numbers if number not in (context, asked_tokens)]
    if summand := next((n for n in parts if n + asked_tokens in numbers), None):
        return summand
    if (total := max(parts, default=0)) > context:
        return total - asked_tokens
    return max(parts, default=None)
