"""A product file that every test of this folder may use, and no products from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.products import write_example_product


@pytest.fixture(autouse=True)
def no_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test without products, and undo what it adds to the variable PRODUCTS."""
    monkeypatch.setenv("PRODUCTS", "")


@pytest.fixture
def product_file(tmp_path: Path) -> Path:
    """Return the path of a product file with the name `shop`."""
    return write_example_product(tmp_path / "shop.toml")
