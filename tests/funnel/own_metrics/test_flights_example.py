"""The flights example: its product files, and that an import of the table gives their bytes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from metric_tracker_rl.own_metrics.certify_levels import MIN_CERTIFIED, SeedResult, certify_seed
from metric_tracker_rl.products.product_file import format_product, read_product
from support.command_line import run_cli
from support.paths import ROOT

FLIGHTS = ROOT / "examples" / "flights"
LEVELS = ("easy", "medium", "hard", "expert")
STAGES_BY_PRODUCT = {
    "flights": ("scheduled", "departed", "arrived", "within_hour"),
    "flights_three_stages": ("scheduled", "departed", "within_hour"),
}
UV = shutil.which("uv")


@pytest.mark.parametrize("name", STAGES_BY_PRODUCT)
def test_product_has_every_level_certified(name: str) -> None:
    product = read_product(FLIGHTS / f"{name}.toml")
    assert product.name == name
    assert product.stages == STAGES_BY_PRODUCT[name]
    assert list(product.levels) == list(LEVELS)
    assert all(level.is_on for level in product.levels.values())
    assert min(level.certified for level in product.levels.values()) >= MIN_CERTIFIED


@pytest.mark.parametrize("name", STAGES_BY_PRODUCT)
def test_product_file_is_in_the_form_that_an_import_writes(name: str) -> None:
    path = FLIGHTS / f"{name}.toml"
    assert format_product(read_product(path)) == path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", STAGES_BY_PRODUCT)
def test_seeds_of_the_product_are_certified(name: str, level: str) -> None:
    product = read_product(FLIGHTS / f"{name}.toml")
    results = [certify_seed(product, level, seed) for seed in range(6)]
    assert results == [SeedResult(seed) for seed in range(6)]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(UV is None, reason="uv is not installed")
def test_import_of_the_table_gives_the_product_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = FLIGHTS / "make_table.py"
    command = [str(UV), "run", "--no-project", script, tmp_path / "flights.csv"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    result = run_cli(
        *("import", "flights.csv", "--stages", ",".join(STAGES_BY_PRODUCT["flights"])),
        *("--country", "US", "--timezone", "America/New_York"),
    )
    assert result.exit_code == 0, result.output
    committed = (FLIGHTS / "flights.toml").read_bytes()
    assert (tmp_path / "flights.toml").read_bytes() == committed
