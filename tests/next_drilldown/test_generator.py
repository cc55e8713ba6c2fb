"""Generation: what is accepted, planned and drawn, and that it is the same everywhere."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from drilldown_next import generator
from drilldown_next.change_log import CLUSTER_SIZE, LogEntry, draw_log, find_change
from drilldown_next.config import EpisodeConfig
from drilldown_next.definition import find_roots
from drilldown_next.episode import build_episode
from drilldown_next.generator import draw_and_plant, generate_counts, is_accepted
from drilldown_next.levels import ALL_LEVELS, RUNGS, Field
from drilldown_next.noise import Noise, draw_autoregression, draw_bad_day_drops
from drilldown_next.planting import draw_first_day
from drilldown_next.product import Dimension
from drilldown_next.products import ORDERING_APP, PRODUCTS
from drilldown_next.sampling import approximate_exp, draw_episode
from drilldown_next.segments import DimensionValue, SegmentDays, build_segment_table
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import GenerationError, InvalidValueError

from .cases import BY_SQL, NO_ROOT, ONE_ROOT, THREE_ROOTS, config_of, episode_of

LEVEL_NAMES = list(ALL_LEVELS)


@pytest.mark.parametrize("level", LEVEL_NAMES)
def test_answer_of_an_episode_is_what_was_planted(level: str) -> None:
    generated = generate_counts(config_of(level, 9))
    shape = generated.draw.product.shape
    found = find_roots(generated.counts, shape, generated.calendar)
    assert sorted(root.place for root in found) == generated.roots
    assert len(generated.roots) == generated_root_count(level)
    assert len(generated.calendar) == ALL_LEVELS[level].calendar_size


def generated_root_count(level: str) -> int:
    return config_of(level, 9).root_count


@pytest.mark.parametrize("config", [ONE_ROOT, THREE_ROOTS])
def test_episode_is_the_same_when_generated_again(config: EpisodeConfig) -> None:
    one, other = (build_episode(config, generate_counts(config)) for _ in range(2))
    assert (one.counts == other.counts).all()
    assert (one.log, one.alert, one.expected_rows) == (other.log, other.alert, other.expected_rows)
    changed = build_episode(other_seed := replace(config, seed=99), generate_counts(other_seed))
    assert (one.counts != changed.counts).any()


def test_draw_whose_roots_are_not_found_is_rejected() -> None:
    generated = generate_counts(ONE_ROOT)
    assert is_accepted(generated)
    clean = generated.draw.sample_counts()
    assert not is_accepted(replace(generated, counts=clean))
    assert not is_accepted(replace(generated, planted=()))


def test_configuration_without_accepted_draw_gets_an_error(monkeypatch) -> None:
    monkeypatch.setattr(generator, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(generator, "is_accepted", lambda _: False)
    with pytest.raises(GenerationError, match="easy"):
        generate_counts(ONE_ROOT)


@pytest.mark.parametrize("level", ["rung_4", "medium"])
def test_plans_stay_within_their_ranges(level: str) -> None:
    settings, kinds = ALL_LEVELS[level], Counter()
    for seed in range(12):
        config = EpisodeConfig(seed, level, "saas_trial", settings.root_counts[-1])
        generated = draw_and_plant(config, 0)
        for loss in generated.planted if generated else ():
            place = loss.place
            assert settings.min_loss <= loss.share < settings.max_loss
            assert 3 <= place.last - place.first + 1 <= settings.max_run_days
            assert place.first >= 2
            assert place.last < settings.days - 1
            table = build_segment_table(generated.draw.product.shape)
            kinds[len(table.segments[place.segment])] += 1
    assert kinds[1]
    assert kinds[2]


def test_first_days_leave_room_for_an_older_entry_and_a_day_after() -> None:
    stream, level = BitStream("test"), ALL_LEVELS["easy"]
    firsts = {draw_first_day(level, stream, 10) for _ in range(2000)}
    assert (min(firsts), max(firsts)) == (2, 56 - 10 - 1)


def test_losses_change_only_the_people_and_days_of_their_step() -> None:
    generated = generate_counts(ONE_ROOT)
    (loss,) = generated.planted
    clean, lossy = generated.draw.sample_counts(), generated.counts
    leaves = build_segment_table(generated.draw.product.shape).leaves[loss.place.segment]
    changed = clean[:, loss.place.step + 1] != lossy[:, loss.place.step + 1]
    assert changed.any()
    assert not changed[~leaves].any()
    outside = np.ones(changed.shape[1], bool)
    outside[loss.place.first : loss.place.last + 1] = False
    assert not changed[:, outside].any()
    assert (clean[:, : loss.place.step + 1] == lossy[:, : loss.place.step + 1]).all()


def test_counts_never_grow_along_the_funnel() -> None:
    for config in (ONE_ROOT, NO_ROOT, THREE_ROOTS, BY_SQL):
        counts = episode_of(config).counts.astype(int)
        assert (np.diff(counts, axis=1) <= 0).all()
        assert counts.shape[0] == episode_of(config).product.leaf_count


def test_noise_has_its_parameters() -> None:
    stream = BitStream("test")
    series = draw_autoregression(stream, 400, 56, 0.42)
    assert series.std() == pytest.approx(1.0, abs=0.03)
    assert (series[:, 1:] * series[:, :-1]).mean() == pytest.approx(0.42, abs=0.03)
    noise = Noise(0.5, 0.25, 0.04)
    drops = np.array([draw_bad_day_drops(stream, 56, noise) for _ in range(400)])
    is_bad = drops > 0
    assert is_bad.mean() == pytest.approx(0.04, abs=0.006)
    assert (is_bad[:, 1:] & is_bad[:, :-1]).sum() / is_bad[:, :-1].sum() == pytest.approx(
        0.3, abs=0.06
    )
    assert drops[is_bad].min() >= 1.0
    assert drops.max() <= 2.5


def test_exponential_is_close_near_zero_and_never_zero() -> None:
    values = np.array([-50.0, -1.0, 0.0, 1.0])
    assert approximate_exp(values)[1:] == pytest.approx(np.exp(values[1:]), rel=0.04)
    assert approximate_exp(values)[0] > 0.0


def test_counts_of_a_draw_are_pinned() -> None:
    """Digest of the counts of a draw; a change of the generator needs a new version."""
    level = ALL_LEVELS["rung_1"]
    product = level.adapt_product(ORDERING_APP)
    draw = draw_episode(product, level.noise, level.visits, level.days, BitStream("golden"))
    digest = hashlib.sha256(draw.sample_counts().astype("<u2").tobytes()).hexdigest()
    assert digest[:16] == "198900b125b4a5e6"


@pytest.mark.parametrize("level", LEVEL_NAMES)
def test_log_has_the_size_of_the_level(level: str) -> None:
    episode = episode_of(config_of(level, 9))
    assert len(episode.log) == ALL_LEVELS[level].log_size
    days = [entry.day for entry in episode.log]
    assert days == sorted(days)
    assert [entry.number for entry in episode.log] == list(range(1, len(days) + 1))


@pytest.mark.parametrize("level", LEVEL_NAMES)
def test_words_of_the_log_suit_the_people_of_an_entry(level: str) -> None:
    episode = episode_of(config_of(level, 9))
    for entry in episode.log:
        works = {work.text: work for work in episode.product.work[entry.step]}
        assert works[entry.text].suits(episode.product.list_roles(entry.scope))


def test_log_shows_neither_roots_nor_their_number() -> None:
    """As many entries lie around dates without a root, whatever the number of roots."""
    product, level = ORDERING_APP, ALL_LEVELS["medium"]
    root = SegmentDays(1, 3, 20, 25)
    near = 0
    for number in range(60):
        log = draw_log(product, level, [root], BitStream(f"test/{number}"))
        empty = draw_log(product, level, [], BitStream(f"test/{number}"))
        assert len(log) == len(empty) == level.log_size
        near += sum(entry.step == 1 and 18 <= entry.day <= 20 for entry in log)
    assert near / 60 == pytest.approx(CLUSTER_SIZE, abs=1.5)


def test_about_two_thirds_of_roots_on_rung_1_are_explained() -> None:
    changes = [episode_of(config_of("rung_1", seed)).expected_rows[0].change for seed in range(60)]
    assert 0.5 < sum(change != "unattributed" for change in changes) / 60 < 0.85


def entry(number: int, day: int, *scope: DimensionValue, step: int = 1) -> LogEntry:
    return LogEntry(number, day, step, scope, "Amira", "prices tested")


def test_attribution_takes_most_values_then_the_latest_then_the_first() -> None:
    a, b, c = DimensionValue(0, 1), DimensionValue(1, 2), DimensionValue(1, 3)
    place, segment = SegmentDays(1, 0, 20, 25), (a, b)
    assert find_change(place, segment, []) == "unattributed"
    for wrong in (entry(1, 17, a), entry(1, 21, a), entry(1, 20, a, step=0), entry(1, 20, c)):
        assert find_change(place, segment, [wrong]) == "unattributed"
    assert find_change(place, segment, [entry(1, 18), entry(2, 18, a), entry(3, 20)]) == "chg-02"
    assert find_change(place, segment, [entry(1, 18, a), entry(2, 19, b)]) == "chg-02"
    assert find_change(place, segment, [entry(1, 19, a), entry(2, 19, b)]) == "chg-01"
    assert find_change(place, segment, [entry(1, 18, a, b), entry(2, 20, b)]) == "chg-01"


def test_alert_names_step_and_week_but_no_segment() -> None:
    for config in (ONE_ROOT, NO_ROOT, THREE_ROOTS):
        episode = episode_of(config)
        assert episode.alert.given == {}
        values = [value for each in episode.product.dimensions for value in each.values]
        assert not any(f" {value} " in episode.alert.text for value in values)
        assert "in the week of" in episode.alert.text


@pytest.mark.parametrize("rung", list(RUNGS))
def test_alert_of_a_rung_gives_what_is_not_asked(rung: str) -> None:
    episode = episode_of(config_of(rung, 2))
    row, given = episode.expected_rows[0], episode.alert.given
    asked = ALL_LEVELS[rung].asked
    assert (Field.SEGMENT in given) == (Field.SEGMENT not in asked)
    if Field.SEGMENT in given:
        assert given["segment"] == episode.product.name_segment(row.segment)
    if Field.DATES not in asked:
        assert (given["date_from"], given["date_to"]) == (
            episode.dates[row.first],
            episode.dates[row.last],
        )


@pytest.mark.parametrize("name", list(PRODUCTS))
def test_products_fit_every_level(name: str) -> None:
    for level in ALL_LEVELS.values():
        product = level.adapt_product(PRODUCTS[name])
        assert product.leaf_count <= 800
    rung = ALL_LEVELS["rung_1"].adapt_product(PRODUCTS[name])
    assert rung.shape == (3, 4)
    assert len(rung.stages) == 2


def test_wrong_product_gets_an_error_that_names_the_field() -> None:
    for changes, named in (
        ({"stages": ("a", "b", "c")}, "step_rates"),
        ({"step_rates": (0.5, 0.5, 1.5)}, "1.5"),
        ({"stages": ("a", "b", "c", "date")}, "date"),
        ({"dimensions": ORDERING_APP.dimensions[:1]}, "2 to 5"),
        ({"weekday": (1.0,) * 6}, "weekday"),
    ):
        with pytest.raises(InvalidValueError, match=named):
            replace(ORDERING_APP, **changes)
    bad = Dimension("x", (("a", 1.0),), "on {}", ORDERING_APP.dimensions[0].role)
    with pytest.raises(InvalidValueError, match="values of x"):
        replace(ORDERING_APP, dimensions=(*ORDERING_APP.dimensions, bad))
