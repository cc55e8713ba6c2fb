"""`metric-tracker import`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.own_metrics import import_table
from metric_tracker_rl.products.product import Product, ProductLevel
from metric_tracker_rl.products.product_file import format_product, read_product
from openenv_kit.own_data.cleaned_table import WHAT_FITS
from support.command_line import run_cli
from support.small_products import build_small_product, fit_small_product, simulate_small_table
from support.table_files import write_table

ALL_OFF = ProductLevel(is_on=False, families=(), certified=0, reason="29 a day")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(folder: Path) -> Path:
    """Return a table in the current folder."""
    return write_table(simulate_small_table(), folder / "Shop 2024.csv")


@pytest.fixture(autouse=True)
def certify_every_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip certification, which has tests of its own."""

    def with_levels(product: Product, *_: Any) -> Product:
        return replace(product, levels=build_small_product().levels)

    monkeypatch.setattr(import_table, "add_certified_levels", with_levels)


def test_import_writes_product_and_report_and_prints_each_step(folder: Path, table: Path) -> None:
    result = run_cli("import", table.name)
    assert result.exit_code == 0, result.output
    titles = [line[:12].strip() for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert titles == ["Read", "Note", "Stages", "Set aside", "Thresholds", "Levels", "Wrote"]
    assert "196 days from 2024-01-01" in " ".join(result.stdout.split())
    product = read_product(folder / "shop_2024.toml")
    assert product == replace(build_small_product(), name="shop_2024")
    assert (folder / "shop_2024.html").is_file()
    assert sorted(path.name for path in folder.iterdir()) == [
        "Shop 2024.csv",
        "shop_2024.html",
        "shop_2024.toml",
    ]


def test_only_the_owner_may_read_the_report(folder: Path, table: Path) -> None:
    run_cli("import", table.name)
    assert (folder / "shop_2024.html").stat().st_mode & 0o777 == 0o600
    assert (folder / "shop_2024.toml").stat().st_mode & 0o777 == 0o644


def test_out_and_name_choose_the_files_and_the_product(folder: Path, table: Path) -> None:
    result = run_cli("import", table.name, "--out", "own.toml", "--name", "web")
    assert result.exit_code == 0, result.output
    assert read_product(folder / "own.toml").name == "web"
    assert (folder / "own.html").is_file()


def test_import_with_every_level_off_exits_with_3(
    folder: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_levels(product: Product, *_: Any) -> Product:
        return replace(product, levels=dict.fromkeys(build_small_product().levels, ALL_OFF))

    monkeypatch.setattr(import_table, "add_certified_levels", without_levels)
    result = run_cli("import", table.name)
    assert result.exit_code == 3
    assert "easy: off (29 a day)" in " ".join(result.stdout.split())
    assert (folder / "shop_2024.toml").is_file()


def test_check_reads_and_cleans_without_writing(folder: Path, table: Path) -> None:
    result = run_cli("import", table.name, "--check")
    assert result.exit_code == 0
    assert "visits" in result.stdout
    assert "Thresholds" not in result.stdout
    assert [path.name for path in folder.iterdir()] == [table.name]


def test_existing_files_are_kept_without_force(folder: Path, table: Path) -> None:
    (folder / "shop_2024.html").write_text("mine")
    refused = run_cli("import", table.name)
    assert refused.exit_code == 2
    assert "shop_2024.html already exists; pass --force to overwrite, or --out." in refused.stderr
    assert (folder / "shop_2024.html").read_text() == "mine"
    assert not (folder / "shop_2024.toml").exists()
    assert run_cli("import", table.name, "--force").exit_code == 0
    assert (folder / "shop_2024.html").read_text() != "mine"


@pytest.mark.parametrize("is_link", [False, True])
def test_table_is_never_overwritten(folder: Path, table: Path, is_link: bool) -> None:
    text = table.read_bytes()
    product = folder / "own.toml"
    if is_link:
        product.symlink_to(table)
    else:
        product.hardlink_to(table)
    result = run_cli("import", table.name, "--out", "own.toml", "--force")
    assert result.exit_code == 2
    assert "own.toml would overwrite the input Shop 2024.csv" in " ".join(result.stderr.split())
    assert product.read_bytes() == text


def test_refusal_says_what_fits_and_writes_nothing(folder: Path) -> None:
    (folder / "few.csv").write_text("date,visits,orders\n2024-01-01,100,20\n2024-01-02,110,21\n")
    result = run_cli("import", "few.csv")
    assert result.exit_code == 2
    first, *others = result.stderr.splitlines()
    assert first == WHAT_FITS
    assert "The table has 2 days; at least 84 are required." in others
    assert [path.name for path in folder.iterdir()] == ["few.csv"]


def test_missing_table_is_refused_without_traceback(folder: Path) -> None:
    result = run_cli("import", "none.csv")
    assert result.exit_code == 2
    assert "none.csv" in result.stderr
    assert "Traceback" not in result.output


def test_out_without_toml_is_refused(table: Path) -> None:
    result = run_cli("import", table.name, "--out", "own.json")
    assert result.exit_code == 2
    assert "--out is 'own.json'; allowed: a name that ends with .toml." in result.stderr


def test_wrong_option_value_is_refused(table: Path) -> None:
    result = run_cli("import", table.name, "--timezone", "Europe/Berln")
    assert result.exit_code == 2
    words = [word for word in result.stderr.split() if word != "│"]
    assert "Did you mean 'Europe/Berlin'?" in " ".join(words)


def test_environment_without_own_data_is_refused(table: Path) -> None:
    result = run_cli("import", table.name, "--environment", "firewatch")
    assert result.exit_code == 2
    assert "firewatch" in result.stderr


def test_question_before_writing_can_be_answered_with_no(
    folder: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package's attribute of this name is the command, not its module.
    module = sys.modules["openenv_kit.cli.import_table"]
    monkeypatch.setattr(module, "is_person_present", lambda: True)
    result = run_cli("import", table.name, input="n\n")
    assert result.exit_code == 1
    assert "Write shop_2024.toml and shop_2024.html?" in result.output
    assert [path.name for path in folder.iterdir()] == [table.name]
    assert run_cli("import", table.name, "--yes").exit_code == 0


def test_help_starts_with_what_fits() -> None:
    words = run_cli("import", "--help").stdout.split()
    assert " ".join(WHAT_FITS.split()) in " ".join(words)


def test_same_table_gives_the_same_bytes(folder: Path, table: Path) -> None:
    run_cli("import", table.name, "--out", "first.toml")
    run_cli("import", table.name, "--out", "second.toml")
    assert (folder / "first.toml").read_bytes() == (folder / "second.toml").read_bytes()


def test_interrupted_write_leaves_no_file(
    folder: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("openenv_kit.own_data.write_files.os.fsync", fail)
    result = run_cli("import", table.name)
    assert result.exit_code == 2
    assert "disk full" in result.stderr
    assert [path.name for path in folder.iterdir()] == [table.name]


def test_product_of_the_command_has_no_value_or_date_of_the_table(
    folder: Path, table: Path
) -> None:
    run_cli("import", table.name)
    text = (folder / "shop_2024.toml").read_text()
    assert text == format_product(replace(build_small_product(), name="shop_2024"))
    assert "2024-" not in text
    assert fit_small_product().name == "shop"
