"""Counts tokens of texts with the package bpe-openai, which contains its vocabulary."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

ENCODING = "o200k_base"
"""A byte-pair encoding with 200,000 tokens. Encodings of open models give similar counts."""


def count_tokens(texts: Iterable[str]) -> int:
    """Return the number of tokens of several texts, each encoded separately."""
    encoding = _load_encoding()
    return sum(len(encoding.encode(text)) for text in texts)


@cache
def _load_encoding() -> Any:
    with warnings.catch_warnings():
        # The package uses a function that is deprecated in Python 3.11 and 3.12.
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai

        return bpe_openai.get_encoding(ENCODING)
