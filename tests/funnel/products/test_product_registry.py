"""Products by name from the variable PRODUCTS, and inline products."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.products.field_reader import ProductRefused
from metric_tracker_rl.products.parse_product import parse_product
from metric_tracker_rl.products.product_file import write_product
from metric_tracker_rl.products.product_registry import (
    UnknownProductError,
    find_product,
    get_registered_products,
    register_product_file,
    require_usable_product_files,
)
from openenv_kit.errors import InvalidValueError
from support.products import build_product_mapping


def write_product_file(path: Path, **changes: Any) -> Path:
    write_product(parse_product({**build_product_mapping(), **changes}), path)
    return path


def test_find_product_finds_the_products_of_a_folder_and_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    write_product_file(tmp_path / "folder" / "a.toml", name="shop")
    other = write_product_file(tmp_path / "b.toml", name="cafe")
    monkeypatch.setenv("PRODUCTS", os.pathsep.join((str(tmp_path / "folder"), str(other))))
    assert find_product("shop").name == "shop"
    assert list(get_registered_products().by_name) == ["cafe", "shop"]


def test_find_product_names_the_known_products_and_how_to_add_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODUCTS", str(write_product_file(tmp_path / "a.toml", name="shop")))
    with pytest.raises(UnknownProductError, match=r"Did you mean 'shop'.*--product FILE"):
        find_product("shpo")


def test_file_that_cannot_be_used_leaves_the_other_products_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_product_file(tmp_path / "a.toml", name="shop")
    (tmp_path / "broken.toml").write_text('environment = "metric_tracker_rl"\nformat = 0\n')
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    assert find_product("shop").name == "shop"
    with pytest.raises(UnknownProductError, match=r"broken\.toml: format is 0"):
        find_product("broken")
    with pytest.raises(ProductRefused, match=r"broken\.toml"):
        require_usable_product_files()


def test_missing_file_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODUCTS", str(tmp_path / "missing.toml"))
    with pytest.raises(ProductRefused, match=r"missing\.toml"):
        require_usable_product_files()


def test_file_of_another_environment_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.toml").write_text('environment = "drilldown"\nname = "shop"\n')
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    require_usable_product_files()
    assert not get_registered_products().by_name


def test_different_products_of_one_name_are_both_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_product_file(tmp_path / "a.toml", name="shop", days=112)
    write_product_file(tmp_path / "b.toml", name="shop", days=111)
    write_product_file(tmp_path / "c.toml", name="cafe")
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    assert list(get_registered_products().by_name) == ["cafe"]
    with pytest.raises(ProductRefused, match=r"a\.toml, b\.toml: different products"):
        require_usable_product_files()


def test_equal_products_in_two_files_are_one_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_product_file(tmp_path / "a.toml")
    write_product_file(tmp_path / "b.toml")
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    require_usable_product_files()
    assert list(get_registered_products().by_name) == ["shop"]


def test_registered_file_is_known_to_processes_that_start_later(tmp_path: Path) -> None:
    product = register_product_file(write_product_file(tmp_path / "a.toml"))
    code = (
        "from metric_tracker_rl.products.product_registry import find_product;"
        "print(find_product('shop').digest)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == product.digest == find_product("shop").digest


def test_registering_a_file_again_reads_its_new_content(tmp_path: Path) -> None:
    first = register_product_file(write_product_file(tmp_path / "a.toml", days=112))
    second = register_product_file(write_product_file(tmp_path / "a.toml", days=111))
    assert find_product("shop") == second != first
    assert os.environ["PRODUCTS"] == str(tmp_path / "a.toml")


def test_registering_another_product_of_a_known_name_is_refused(tmp_path: Path) -> None:
    first = register_product_file(write_product_file(tmp_path / "a.toml", days=112))
    with pytest.raises(ProductRefused, match="another --name"):
        register_product_file(write_product_file(tmp_path / "b.toml", days=111))
    assert find_product("shop") == first


def test_inline_product_is_parsed_once() -> None:
    content = build_product_mapping()
    assert find_product(content) is find_product(dict(content))


def test_inline_product_with_a_wrong_value_is_refused_by_name() -> None:
    with pytest.raises(ProductRefused, match="days is 3"):
        find_product({**build_product_mapping(), "days": 3})


def test_inline_product_above_16_kb_is_refused() -> None:
    with pytest.raises(ProductRefused, match="16 kB"):
        find_product({**build_product_mapping(), "extra": "x" * 20_000})


@pytest.mark.parametrize("value", [3, ["shop"], True])
def test_value_that_is_no_product_is_refused(value: object) -> None:
    with pytest.raises(InvalidValueError, match="product is"):
        find_product(value)


def test_find_product_returns_a_product_unchanged() -> None:
    product = parse_product(build_product_mapping())
    assert find_product(product) is product
