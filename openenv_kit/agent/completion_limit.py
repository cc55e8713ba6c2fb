"""Extracts the limit on completion tokens from an endpoint's error messages."""

from __future__ import annotations

import re

ANSWER_LENGTH_PATTERN = re.compile(
    r"max_?(completion_?|new_?|output_?)?tokens|maximum tokens you requested"
    r"|\b(output|completion|new) tokens|(in|for) the (completion|output)",
    re.IGNORECASE,
)
"""Matches error messages about the length of the completion."""
PROMPT_LENGTH_PATTERN = re.compile(r"context|prompt|inputs?\b|messages", re.IGNORECASE)
"""Matches error messages about a limit that prompt and completion share."""
NUMBER_PATTERN = r"(?<![\w.-])(\d{1,3}(?:,\d{3})+|\d+)(?![\w-]|\.\d)"
"""A whole number, with or without commas, that is not part of a word or of a decimal."""
CONTEXT_SIZE_PATTERNS = (
    re.compile(rf">\s*{NUMBER_PATTERN}"),
    re.compile(rf"<=\s*`?{NUMBER_PATTERN}"),
    re.compile(rf"context[^.\d]{{0,60}}{NUMBER_PATTERN}", re.IGNORECASE),
)
"""Patterns for the context size in an error message; the first match is used."""
EXCLUSIVE_LIMIT_PATTERN = re.compile(r"exclusive|(less|lower|smaller) than `?\d", re.IGNORECASE)
MIN_LIMIT_TOKENS = 16
"""Numbers below this value are not limits, but for example positions in the list of messages."""
FALLBACK_ANSWER_TOKENS = 1024
"""Limit that is tried if an error message does not contain one."""


def is_prompt_plus_answer_limit_error(error_message: str) -> bool:
    """Return whether an error message says that prompt and completion exceed the context."""
    return (
        ANSWER_LENGTH_PATTERN.search(error_message) is not None
        and PROMPT_LENGTH_PATTERN.search(error_message) is not None
    )


def parse_or_guess_max_answer_tokens(error_message: str, requested_tokens: int) -> int | None:
    """Return the largest number of completion tokens that an error message allows.

    Args:
        error_message: error message of the endpoint.
        requested_tokens: completion limit in the request.

    Returns:
        None if the message is not about the length of the completion; 0 or less if the prompt
        leaves no room for a completion; a guess if the message contains no limit.
    """
    if not ANSWER_LENGTH_PATTERN.search(error_message):
        return None
    numbers = [
        _parse_number_with_commas(text) for text in re.findall(NUMBER_PATTERN, error_message)
    ]
    if PROMPT_LENGTH_PATTERN.search(error_message):
        for pattern in CONTEXT_SIZE_PATTERNS:
            if match := pattern.search(error_message):
                context_tokens = _parse_number_with_commas(match[1])
                prompt_tokens = _find_prompt_token_count(numbers, context_tokens, requested_tokens)
                if prompt_tokens is not None:
                    return context_tokens - prompt_tokens
    limits = [number for number in numbers if MIN_LIMIT_TOKENS <= number < requested_tokens]
    if not limits:
        return min(FALLBACK_ANSWER_TOKENS, requested_tokens // 2)
    is_exclusive = EXCLUSIVE_LIMIT_PATTERN.search(error_message) is not None
    return max(limits) - 1 if is_exclusive else max(limits)


def _parse_number_with_commas(text: str) -> int:
    return int(text.replace(",", ""))


def _find_prompt_token_count(
    numbers_in_message: list[int], context_tokens: int, requested_tokens: int
) -> int | None:
    """Find the prompt's token count among the numbers in an error message; None if not found."""
    candidates = [
        number for number in numbers_in_message if number not in (context_tokens, requested_tokens)
    ]
    if not candidates:
        return None
    for candidate in candidates:  # the message may contain the prompt's tokens and the total
        if candidate and candidate + requested_tokens in numbers_in_message:
            return candidate
    largest = max(candidates)
    is_total = largest > context_tokens
    return largest - requested_tokens if is_total else largest
