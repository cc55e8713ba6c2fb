"""A user's own product: its file, its mistakes, its episodes, and the command about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from metric_tracker_rl.commands import new_product
from metric_tracker_rl.commands.new_product import TEMPLATE, certificate_or_failure, units_of
from metric_tracker_rl.drilldown import building, products
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.products import add_product, read_product
from metric_tracker_rl.drilldown.sql.domains import WIDE_DOMAINS
from metric_tracker_rl.drilldown.tasks import STRATA, TASKS
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.cli import app
from openenv_kit.environment import ERROR
from openenv_kit.errors import ConfigurationError, InvalidValueError, UnknownNameError

TEXT = TEMPLATE.read_text()
SHOP = read_product(TEXT)


@pytest.fixture(autouse=True)
def nothing_added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(products, "_added", {})
    yield
    building.build_episode.resize(building.CACHE_SIZE)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["new-product", *arguments])


def test_the_template_describes_a_product_and_says_what_it_may_not() -> None:
    assert (SHOP.name, SHOP.dim_names[3]) == ("flower_shop", "channel")
    assert SHOP.dims[2].values[3] == ("no_occasion", 0.24)
    assert (SHOP.weekly_dim, SHOP.noisy_dim, SHOP.volume) == (3, 1, 1.2)
    for limit in (*products.MOST_LEAVES.values(), products.MOST_PAIRS):
        assert f"{limit:,}" in TEXT
    assert read_product(TEXT.replace("volume = 1.2\n", "")).volume == 1.0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("base_rates = [0.62", "base_rates = [1.62", r"base rate is 1\.62; allowed: a number"),
        ("base_rates = [0.62", 'base_rates = ["0.62"', r"each of base_rates is '0\.62'; .* number"),
        ("base_rates = [0.62,", "base_rates = [", "number of base_rates is 3; allowed: 4"),
        ("base_rates", "base_rate", r"key of product 'base_rate'\. Did you mean 'base_rates'"),
        ('["visits"', '["date"', "name of a dimension or stage is 'date'"),
        ('"payments"]\n\n# The share', '"device"]\n#', "dimension or stage is 'device'; .* differ"),
        ('"marketing"', '"tracking"', "component is 'tracking'; allowed: names that differ"),
        ('"marketing"', '"Marketing"', "name is 'Marketing'; allowed: 1 to 40 small letters"),
        ('name = "flower_shop"', "name = 3", "name is 3; allowed: a text in quotes"),
        ('"channel"\nnoisy', '"chanel"\nnoisy', "weekly_dimension 'chanel'. Did you mean 'chann"),
        ("phone = 0.55", "phone = true", "weight of phone is True; allowed: a number"),
        ("phone = 0.55", "phone = nan", "weight of phone is nan; allowed: a number above"),
        ("phone = 0.55", '"it\'s" = 0.55', 'value of device is "it\'s"; allowed: 1 to 40'),
        ("rate_effect = 0.07", "", r"dimensions\.device has no key 'rate_effect'; needed"),
        ("rate_effect = 0.07", "rate_efect = 0.07", "Did you mean 'rate_effect'"),
        ("[dimensions.device.values]", "[dimensions.devices]", "has no key 'values'; needed"),
        ("[0.90, 0.92", "[11, 0.92", r"weekday factor is 11\.0; allowed"),
        ("volume = 1.2", "volume = 0", r"volume is 0\.0; allowed: a number above 0"),
        ("volume = 1.2", "volume =", "not TOML: .*line"),
        ("weekday = [", "weekday = 1 # [", "weekday is 1; allowed: a list"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_what_is_allowed(old: str, new: str, told: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError, match=told):
        read_product(TEXT.replace(old, new, 1))


def test_a_product_that_no_budget_lasts_for_is_refused() -> None:
    more = "".join(f"{name} = 0.1\n" for name in ("es", "pl", "se"))
    with pytest.raises(InvalidValueError, match=r"combinations of values is 384; .* at most 300"):
        read_product(TEXT.replace("it = 0.12\n", f"it = 0.12\n{more}"))
    fewer = TEXT.replace("wedding = 0.22\nsympathy = 0.18\n", "")
    with pytest.raises(InvalidValueError, match="pairs of values is 32; allowed: at most 30"):
        read_product(fewer.replace("it = 0.12\n", f"it = 0.12\n{more}"))
    with pytest.raises(InvalidValueError, match="number of dimensions is 3"):
        read_product(TEXT[: TEXT.index("[dimensions.channel]")].replace('"channel"', '"country"'))


def test_an_added_product_is_played_by_its_name_and_by_the_same_code() -> None:
    session = ENVIRONMENT.session()
    refused = session.reset(difficulty="drill_easy", product="flower_shop", causes=1)
    assert refused.status == ERROR
    assert "Unknown product 'flower_shop'" in refused.message
    add_product(SHOP)
    opening = session.reset(difficulty="drill_easy", product="flower_shop", causes=1, seed=4)
    assert opening.content["config"]["stages"] == list(SHOP.stages)
    reply = session.step({"analysis_method": "slice", "analysis_args": {"group_by": ["occasion"]}})
    assert len(reply.content["analysis_result"]["result"]["rows"]) == 4 * 5
    with pytest.raises(UnknownNameError, match="Did you mean 'flower_shop'"):
        DrillConfig(1, "drill", "flowershop")
    with pytest.raises(UnknownNameError, match="Unknown product 'flower_shop'"):
        DrillConfig(1, "drill_sql", "flower_shop")


def test_the_same_name_never_stands_for_two_products() -> None:
    add_product(SHOP)
    add_product(read_product(TEXT))
    with pytest.raises(InvalidValueError, match="name is 'flower_shop'; allowed: a name other"):
        add_product(replace(SHOP, volume=2.0))
    with pytest.raises(InvalidValueError, match="name is 'saas_trial'"):
        add_product(replace(SHOP, name="saas_trial"))
    first = DrillConfig(1, "drill_easy", "flower_shop").identity
    products._added["flower_shop"] = replace(SHOP, volume=2.0)
    assert DrillConfig(1, "drill_easy", "flower_shop").identity != first


def test_added_products_change_nothing_for_the_four() -> None:
    before = DrillConfig(1, "drill_easy", "saas_trial").identity
    add_product(SHOP)
    assert DrillConfig(1, "drill_easy", "saas_trial").identity == before
    assert {product for _, product, _ in STRATA} == set(DOMAINS)
    assert {config.product for config in TASKS.values()} == set(DOMAINS)


def test_a_product_is_certified_on_the_levels_that_it_has_dimensions_for() -> None:
    add_product(SHOP)
    units = units_of(SHOP, None)
    first = [next(units) for _ in range(15)]
    slices = [name for name, level in LEVELS.items() if not level.sql]
    assert [c.difficulty for c in first[::5]] == slices
    assert {c.product for c in first} == {"flower_shop"}
    with pytest.raises(InvalidValueError, match="difficulty is 'drill_sql'; allowed: drill_easy,"):
        units_of(SHOP, ["drill_sql"])
    wide = replace(WIDE_DOMAINS["saas_trial"], name="club")
    add_product(wide)
    assert {next(units_of(wide, None)).difficulty} == {"drill_sql"}


def test_an_episode_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MAX_DRAWS", 1)
    monkeypatch.setattr(new_product, "LOOKED_AT", 1)
    add_product(replace(SHOP, volume=0.001))
    told = certificate_or_failure(DrillConfig(3, "drill", "flower_shop", 1))
    assert isinstance(told, str)
    assert "no room for a cause (1). More volume" in told


def test_the_command_writes_a_template_and_names_what_is_wrong_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    assert run(str(file), "--write").exit_code == 0
    assert file.read_text() == TEXT
    assert run(str(file), "--write").exit_code == 2  # it exists
    missing = run(str(tmp_path / "none.toml"))
    assert missing.exit_code == 2
    assert "--write" in missing.output
    file.write_text(TEXT.replace("0.62", "0.96"))
    found = run(str(file))
    assert found.exit_code == 2
    assert "base rate is 0.96" in " ".join(found.output.split())


@pytest.mark.slow
def test_the_command_certifies_episodes_and_fails_where_one_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(TEXT)
    options = ("--episodes", "2", "--difficulty", "drill_easy", "--workers", "1")
    found = run(str(file), *options)
    assert found.exit_code == 0, found.output
    assert "2 of 2 episodes, 0 failed" in found.output
    monkeypatch.setattr(products, "_added", {})
    file.write_text(TEXT.replace("volume = 1.2", "volume = 0.001"))
    monkeypatch.setattr(new_product, "certificate_or_failure", told_otherwise)
    found = run(str(file), *options)
    assert found.exit_code == 1
    assert "cannot be made" in found.output


def told_otherwise(_: DrillConfig) -> str:
    return "It cannot be made."
