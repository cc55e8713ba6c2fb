"""What reports are worth, and the laws that no report breaks."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from drilldown_env.episode import Episode
from drilldown_env.grade import grade, place_of
from drilldown_env.levels import KINDS
from drilldown_env.report import ReportRow, stages_of

from .cases import EASY, EMPTY, FAINT, HARD, episode


def score(rows: list[ReportRow], of: Episode) -> float:
    return grade(rows, of.expected_rows, of.dates).score


def random_row(of: Episode, dice: random.Random) -> ReportRow:
    """Any valid row, half of the time one near a root."""
    domain = of.domain
    base = dice.choice(of.expected_rows) if of.expected_rows and dice.random() < 0.6 else None
    kind = dice.choice(KINDS)
    dims = dice.sample(domain.dims, dice.randint(0, 3))
    segment = {dim.name: dice.choice(dim.names) for dim in dims}
    first = dice.randrange(50)
    row = ReportRow(
        kind,
        dice.choice(list(stages_of(kind, domain))),
        dice.choice(["up", "down"]),
        tuple(sorted(segment.items())),
        of.dates[first],
        of.dates[min(first + dice.randrange(9), 55)],
        dice.choice(["unattributed", *(entry.id for entry in of.log)]),
    )
    if base is None:
        return row
    kept = {name: getattr(base, name) for name in base.__dataclass_fields__ if dice.random() < 0.8}
    found = replace(row, **kept)
    return row if found.date_to < found.date_from else found


def reports(of: Episode, number: int, seed: int) -> list[list[ReportRow]]:
    dice = random.Random(seed)
    found = []
    for _ in range(number):
        rows = [random_row(of, dice) for _ in range(dice.randint(0, 6))]
        found.append(list({row.place: row for row in rows}.values()))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("config", [EASY, FAINT, HARD])
def test_order_never_matters_true_rows_never_lower_and_false_ones_never_raise(config) -> None:
    of, dice = episode(config), random.Random(1)
    for rows in reports(of, 200, 7):
        earned = score(rows, of)
        assert score(dice.sample(rows, len(rows)), of) == earned
        assert 0.0 <= earned <= 1.0
        for root in of.expected_rows:
            if all(row.place != root.place for row in rows):
                assert score([*rows, root], of) >= earned
        more = random_row(of, dice)
        meets = any(place_of(more, root, of.dates) for root in of.expected_rows)
        if not meets and all(row.place != more.place for row in rows):
            assert score([*rows, more], of) <= earned


@pytest.mark.parametrize("config", [EASY, FAINT, HARD])
def test_the_right_report_is_worth_one_and_no_report_nothing(config) -> None:
    of = episode(config)
    assert score(list(of.expected_rows), of) == 1.0
    assert score([], of) == 0.0


def test_where_nothing_happened_the_empty_report_alone_is_right() -> None:
    of = episode(EMPTY)
    assert of.expected_rows == ()
    assert score([], of) == 1.0
    assert score([episode(EMPTY) and random_row(of, random.Random(2))], of) == 0.0


ROOT = ReportRow(
    "rate_change", "signups", "down", (("plan", "team"), ("region", "EMEA")),
    "2024-01-03", "2024-01-05", "chg-02",
)  # fmt: skip
DATES = [f"2024-01-{day:02d}" for day in range(1, 32)]


@pytest.mark.parametrize(
    ("changed", "worth"),
    [
        ({}, 1.0),
        ({"kind": "tracking_loss"}, 0.7),
        ({"change": "unattributed"}, 0.8),
        ({"kind": "tracking_loss", "change": "chg-01"}, 0.5),
        ({"stage": "invites"}, 0.5 * 3 / 4),
        ({"direction": "up"}, 0.5 * 3 / 4),
        ({"segment": (("plan", "team"),)}, 0.5 * 3 / 4),
        ({"segment": (("plan", "team"), ("region", "EMEA"), ("source", "event"))}, 0.5 * 4 / 5),
        ({"date_to": "2024-01-06"}, 0.5 * (3 + 0.5 * 3 / 4) / 4),
        ({"segment": (("plan", "starter"), ("region", "EMEA"))}, 0.0),
        ({"segment": (("source", "event"),)}, 0.0),
        ({"segment": ()}, 0.0),
        ({"date_from": "2024-01-06", "date_to": "2024-01-07"}, 0.0),
        ({"date_from": "2024-01-01", "date_to": "2024-01-08"}, 0.0),
    ],
)
def test_each_field_has_its_worth(changed: dict[str, object], worth: float) -> None:
    row = replace(ROOT, **changed)
    assert grade([row], [ROOT], DATES).matched == round(worth, 6)


def test_what_meets_no_root_costs_one_and_a_second_row_for_a_root_half() -> None:
    far = replace(ROOT, date_from="2024-01-20", date_to="2024-01-21")
    near = replace(ROOT, stage="invites")
    assert grade([ROOT, far], [ROOT], DATES).cost == 1.0
    assert grade([ROOT, near], [ROOT], DATES).score == 0.5


def test_grade_matches_rows_so_that_the_fewest_have_to_be_paid_for() -> None:
    """The first row answers either root, the second one of them; both are credited at no cost."""
    wide = replace(ROOT, segment=(("plan", "team"),))
    second = replace(ROOT, segment=(("region", "EMEA"),))
    found = grade([ROOT, second], [ROOT, wide], DATES)
    assert (found.score, found.cost, found.credits) == (0.375, 0.0, (0.375, 0.375))


def test_a_row_for_everybody_meets_a_root_of_everybody() -> None:
    everybody = replace(ROOT, segment=())
    assert grade([everybody], [everybody], DATES).score == 1.0


@pytest.mark.parametrize("field", ["kind", "change", "stage", "direction", "date_to", "segment"])
def test_handing_in_two_versions_does_not_pay_at_even_odds(field: str) -> None:
    other = {
        "kind": "tracking_loss",
        "change": "unattributed",
        "stage": "invites",
        "direction": "up",
        "date_to": "2024-01-06",
        "segment": (("plan", "team"),),
    }
    wrong = replace(ROOT, **{field: other[field]})
    once = (grade([ROOT], [ROOT], DATES).score + grade([wrong], [ROOT], DATES).score) / 2
    assert grade([ROOT, wrong], [ROOT], DATES).score <= once
