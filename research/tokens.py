"""Tokens of texts, by a tokeniser whose vocabulary its package carries; needs bpe-openai."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

ENCODING = "o200k_base"
"""A byte-pair encoding with 200,000 tokens; those of open models give counts close to it."""


def count_tokens(texts: Iterable[str]) -> int:
    """Tokens of some texts, each encoded by itself."""
    encoding = _load_encoding()
    return sum(len(encoding.encode(text)) for text in texts)


@cache
def _load_encoding() -> Any:
    with warnings.catch_warnings():
        # It reads its vocabulary by a function that Python 3.11 and 3.12 call deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai

        return bpe_openai.get_encoding(ENCODING)
