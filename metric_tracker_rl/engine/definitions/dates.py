"""Builds the error message for a date that does not belong to an episode."""

from __future__ import annotations

from collections.abc import Sequence

from openenv_kit.errors import find_nearest_name, truncated_repr


def build_unknown_date_message(date: object, dates: Sequence[str]) -> str:
    """Return an error message for a date that does not belong to an episode.

    The message suggests the most similar date, if there is one, and contains the allowed range.

    Args:
        date: the rejected value.
        dates: ISO dates of the episode, in order.
    """
    nearest = find_nearest_name(date, dates)
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    return (
        f"date {truncated_repr(date)} is not in this episode.{hint} Allowed: YYYY-MM-DD from "
        f"{dates[0]} to {dates[-1]}."
    )
