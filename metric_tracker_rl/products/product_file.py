"""Reads and writes product files, which contain the aggregates of a user's table as TOML."""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metric_tracker_rl.products.field_reader import ProductRefused
from metric_tracker_rl.products.parse_product import (
    MAX_PRODUCT_BYTES,
    parse_product,
    require_product_size,
)
from metric_tracker_rl.products.product import (
    Product,
    ProductLevel,
    ProductSeries,
    SetAside,
    round_to_significant_digits,
)

__all__ = [
    "Product",
    "ProductLevel",
    "ProductRefused",
    "ProductSeries",
    "SetAside",
    "format_product",
    "parse_product",
    "parse_product_text",
    "read_product",
    "write_product",
]


def read_product(path: Path) -> Product:
    """Read a product file.

    Raises:
        ProductRefused: the file cannot be read, is too large, or has an invalid value.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PRODUCT_BYTES + 1)
    except OSError as error:
        raise ProductRefused(f"{path.name} cannot be read: {error.strerror}.") from None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        require_product_size(len(content))
        raise ProductRefused(f"{path.name}: The product is not UTF-8 text.") from None
    try:
        return parse_product_text(text)
    except ProductRefused as problem:
        raise ProductRefused(f"{path.name}: {problem}") from None


def parse_product_text(text: str) -> Product:
    """Convert the text of a product file to a product.

    Raises:
        ProductRefused: the text is not TOML, is too large, or has an invalid value.
    """
    require_product_size(len(text.encode(errors="surrogatepass")))
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProductRefused(f"The product is not TOML: {error}.") from None
    return parse_product(content)


def format_product(product: Product) -> str:
    """Convert a product to TOML text. The text of equal products is identical."""
    content = product.to_mapping()
    series = content.pop("series")
    noise = content.pop("noise")
    thresholds = content.pop("thresholds")
    levels = content.pop("level", {})
    lines = [f"{key} = {_format_value(value)}" for key, value in content.items()]
    for item in series:
        lines += ["", "[[series]]", *_format_items(item)]
    lines += ["", "[noise]", *_format_items(noise)]
    lines += ["", "[thresholds]", *_format_items(thresholds)]
    for name, level in levels.items():
        lines += ["", f"[level.{name}]", *_format_items(level)]
    return "\n".join(lines) + "\n"


def write_product(product: Product, path: Path) -> None:
    """Write a product to a file. A file that already exists is replaced atomically.

    Raises:
        OSError: the file cannot be written.
    """
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8", newline="\n"
    ) as file:
        try:
            file.write(format_product(product))
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _format_items(content: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_format_value(value)}" for key, value in content.items()]


def _format_value(value: Any) -> str:
    """Convert a value of a product to TOML.

    Texts are escaped as in JSON, which is also valid TOML for the texts of a product.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(round_to_significant_digits(value))
    if isinstance(value, list):
        return "[" + ", ".join(map(_format_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(_format_items(value)) + " }"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
