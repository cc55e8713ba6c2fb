"""Fixtures for the tests of own data."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a table that a test writes."""
    return tmp_path / "shop.csv"
