"""Limits of the server on what a reset asks for."""

from __future__ import annotations

import pytest

from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from openenv_kit.serving.settings import current_settings as process_settings


def test_server_limits_override_reset_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENENV_KIT_MAX_STEPS", "10")
    monkeypatch.setenv("OPENENV_KIT_MAX_SUBMISSIONS", "2")
    process_settings.cache_clear()
    try:
        environment = OpenEnvAdapter()
        for arguments in ({"max_steps": 11}, {"max_submissions": 3}):
            assert environment.reset(**arguments).status == "error"
        assert environment.reset(max_steps=10, max_submissions=2).status == "ready"
        environment.reset()
        assert environment.state.max_steps == 10
    finally:
        process_settings.cache_clear()
