"""Reads from a refusal how long an answer may be, in the wordings of several servers."""

from __future__ import annotations

import re

ANSWER_LENGTH_PATTERN = re.compile(
    r"max_?(completion_?|new_?|output_?)?tokens|maximum tokens you requested"
    r"|\b(output|completion|new) tokens|(in|for) the (completion|output)",
    re.IGNORECASE,
)
"""Words of a refusal that is about the length of the answer."""
PROMPT_LENGTH_PATTERN = re.compile(r"context|prompt|inputs?\b|messages", re.IGNORECASE)
"""Words of a refusal in which the prompt takes a part of the limit."""
NUMBER_PATTERN = r"(?<![\w.-])(\d{1,3}(?:,\d{3})+|\d+)(?![\w-]|\.\d)"
CONTEXT_SIZE_PATTERNS = (
    re.compile(rf">\s*{NUMBER_PATTERN}"),
    re.compile(rf"<=\s*`?{NUMBER_PATTERN}"),
    re.compile(rf"context[^.\d]{{0,60}}{NUMBER_PATTERN}", re.IGNORECASE),
)
"""Where a refusal names the size of the context; the first that fits counts."""
EXCLUSIVE_LIMIT_PATTERN = re.compile(r"exclusive|(less|lower|smaller) than `?\d", re.IGNORECASE)
MIN_LIMIT_TOKENS = 16
"""Smaller numbers are no limits, but ends of ranges and numbers of positions."""
FALLBACK_ANSWER_TOKENS = 1024
"""Tried where a refusal does not say how long an answer may be."""


def is_context_size_error(error_message: str) -> bool:
    """Whether a refusal says that the prompt and the answer do not fit together."""
    return (
        ANSWER_LENGTH_PATTERN.search(error_message) is not None
        and PROMPT_LENGTH_PATTERN.search(error_message) is not None
    )


def parse_max_answer_tokens(error_message: str, requested_tokens: int) -> int | None:
    """Return how many tokens an answer may have.

    Args:
        error_message: the endpoint's words about its refusal.
        requested_tokens: the limit that the request asked for.

    Returns:
        None where the refusal is not about the length of the answer; 0 or less where the prompt
        leaves no room for an answer; a guess where the refusal has no number.
    """
    if not ANSWER_LENGTH_PATTERN.search(error_message):
        return None
    numbers = [int(found.replace(",", "")) for found in re.findall(NUMBER_PATTERN, error_message)]
    others = [number for number in numbers if number != requested_tokens]
    if PROMPT_LENGTH_PATTERN.search(error_message):
        for pattern in CONTEXT_SIZE_PATTERNS:
            if found := pattern.search(error_message):
                context = int(found[1].replace(",", ""))
                prompt = _find_prompt_tokens(numbers, context, requested_tokens)
                if prompt is not None:
                    return context - prompt
    limits = [number for number in others if MIN_LIMIT_TOKENS <= number < requested_tokens]
    if limits:
        return max(limits) - (1 if EXCLUSIVE_LIMIT_PATTERN.search(error_message) else 0)
    return min(FALLBACK_ANSWER_TOKENS, requested_tokens // 2)


def _find_prompt_tokens(
    numbers: list[int], context_tokens: int, requested_tokens: int
) -> int | None:
    """Return the prompt's tokens among the numbers of a refusal; None if they are not there."""
    parts = [number for number in numbers if number not in (context_tokens, requested_tokens)]
    if summand := next((n for n in parts if n + requested_tokens in numbers), None):
        return summand
    if (total := max(parts, default=0)) > context_tokens:
        return total - requested_tokens
    return max(parts, default=None)
