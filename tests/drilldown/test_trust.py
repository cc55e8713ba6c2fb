"""Certificates, the audit, and products of one's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drilldown_env.building import generate
from drilldown_env.certificate import (
    certify_episode,
    is_unique,
    iter_configurations,
    tabulate_certificates,
)
from drilldown_env.config import DrillConfig
from drilldown_env.cube import EVERYBODY
from drilldown_env.definition import explaining
from drilldown_env.domains import DOMAINS
from drilldown_env.environment import ENVIRONMENT
from drilldown_env.policies.reference import solves
from drilldown_env.products import _added, add_product, read_product
from openenv_kit.errors import ConfigurationError
from openenv_kit.trust.audit import AuditJob

from .cases import EASY, FAINT, HARD, episode


@pytest.mark.slow
@pytest.mark.parametrize("config", [EASY, FAINT, HARD])
def test_episodes_are_certified(config: DrillConfig) -> None:
    found = certify_episode(config)
    assert found.holds
    assert tabulate_certificates([found])[1][0][2] == "1"


@pytest.mark.slow
def test_a_certificate_without_one_of_its_proofs_does_not_hold() -> None:
    draw, _, _ = generate(EASY)
    assert is_unique(draw)
    runs = tuple(replace(run, cells=(run.cells[0] + 1,)) for run in draw.answer.runs)
    assert not is_unique(replace(draw, answer=replace(draw.answer, runs=runs)))


@pytest.mark.slow
@pytest.mark.parametrize("config", [EASY, FAINT])
def test_what_is_ruled_out_at_a_glance_explains_nothing_at_a_closer_look(
    config: DrillConfig,
) -> None:
    draw, _, _ = generate(config)
    run = draw.answer.runs[0]
    channel, days = draw.answer.channels[run.channel], slice(run.first, run.stop)
    closely = [
        cell
        for cell in range(channel.cube.cells)
        if channel.left(days, [cell], run.mix) is not None
    ]
    assert closely == list(run.cells)
    for blamed in (run.cells, (EVERYBODY,), (1,)):
        assert explaining(channel, replace(run, cells=blamed)) == closely


def test_the_grid_has_every_stratum_of_a_level() -> None:
    configs = list(iter_configurations(range(8), levels=["drill_hard"]))
    assert {config.roots for config in configs} == {0, 3, 4, 5}
    assert len({config.product for config in configs}) == len(DOMAINS)


@pytest.mark.slow
def test_the_reference_s_report_and_no_other_counts_as_solved() -> None:
    made = episode(EASY)
    assert solves(made)
    assert not solves(replace(made, expected_rows=made.expected_rows[1:]))


AT_MOST = {
    "alert_alone": 0.25,
    "log_of_the_week": 0.25,
    "alert_and_days": 0.5,
    "alert_and_people": 0.5,
    "log_rolled_back": 0.1,
    "log_narrowest": 0.1,
    "ten_rows": 0.03,
}


@pytest.mark.slow
@pytest.mark.parametrize("policy", AT_MOST)
def test_less_than_an_investigation_is_worth_little(policy: str) -> None:
    played = ENVIRONMENT.audit.run_job(
        AuditJob(policy, "drill_easy", 0, 32, "split:train", "drilldown")
    )
    assert sum(each.score for each in played) / 32 <= AT_MOST[policy]


@pytest.mark.slow
def test_the_empty_report_earns_one_episode_in_eight() -> None:
    played = ENVIRONMENT.audit.run_job(
        AuditJob("null", "drill_easy", 0, 32, "split:train", "drilldown")
    )
    assert sum(each.score for each in played) == 4.0


PRODUCT = """
name = "gym"
stages = ["visits", "trials", "joins", "renewals", "referrals"]
components = ["ads", "trial_desk", "contracts", "billing", "invites"]
base_rates = [0.5, 0.45, 0.6, 0.5]
weekday = [1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 0.9]
weekly_dimension = "city"
noisy_dimension = "age"
[dimensions.city]
rate_effect = 0.06
values = { bonn = 0.5, koeln = 0.3, trier = 0.2 }
[dimensions.age]
rate_effect = 0.06
values = { young = 0.5, middle = 0.3, old = 0.2 }
[dimensions.plan_type]
rate_effect = 0.06
values = { basic = 0.6, plus = 0.4 }
[dimensions.door]
rate_effect = 0.06
values = { web = 0.5, desk = 0.3, phone = 0.2 }
"""


def test_a_product_of_one_s_own_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drilldown_env.products._added", {})
    add_product(read_product(PRODUCT))
    config = DrillConfig(4, "drill_easy", "gym", 1)
    made = generate(config)[1]
    assert solves(made)
    assert "product_digest" in config.identity
    assert not _added


def test_a_product_that_cannot_be_read_says_why() -> None:
    with pytest.raises(ConfigurationError, match="weekday"):
        read_product(PRODUCT.replace("weekday =", "weekdays ="))
