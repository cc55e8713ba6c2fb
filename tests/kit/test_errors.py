"""Errors of the kit."""

from __future__ import annotations

import pickle

import pytest

from openenv_kit.errors import (
    InvalidValueError,
    KitError,
    ModelError,
    RefusedResetError,
    ServerFullError,
    UnknownNameError,
)


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("task", "eazy", ["easy"]),
        InvalidValueError("count", 0, "at least 1"),
        RefusedResetError({"seed": 1}, "no such seed"),
        ServerFullError("full", 5.0),
        ModelError("no credit", is_permanent=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_pickled_keeps_type_message_and_attributes(error: KitError) -> None:
    loaded = pickle.loads(pickle.dumps(error))
    assert type(loaded) is type(error)
    assert str(loaded) == str(error)
    assert vars(loaded) == vars(error)
