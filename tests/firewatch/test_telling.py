"""How the reference tells a build of zone b from a change everywhere, and a leak from neither."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from firewatch_env.engine.motion import ZONE_B, Wave, factor
from firewatch_env.evidence.measuring import ERROR
from firewatch_env.policies.apart import (
    Figure,
    Read,
    Series,
    Where,
    by_burn,
    by_errors,
    tell,
    told_freely,
    zone_shares,
)
from firewatch_env.policies.reading import twins, worst_way
from firewatch_env.policies.seen import Notes, Seen, order

SHARES = (0.40, 0.43, 0.46, 0.49, 0.51, 0.50, 0.47, 0.43, 0.38, 0.34, 0.31, 0.29, 0.28, 0.30)
WAVE = (0.50, 0.47, 0.43, 0.39, 0.35, 0.31, 0.28, 0.31, 0.35, 0.39, 0.43, 0.47, 0.50, 0.47)


def reply(tick: int, text: str, burn: float = 0.0) -> Seen:
    told = {
        "sim_tick": tick,
        "current_slo_burn_rate": burn,
        "services": {},
        "dependency_graph": {},
    }
    return Seen(told, {"action_feedback": text})


def told_by(
    figure: list[float],
    *,
    grows: bool = False,
    free: bool = False,
    shares: Sequence[float] = SHARES,
) -> tuple[Where, int]:
    """What `tell` makes of a figure by tick, and the looks that it takes."""
    look = order("fetch_logs", "a")
    series = Series(lambda seen: seen.burn) if free else None
    measure = Figure(look, lambda seen: float(seen.feedback), series)
    notes = Notes()
    notes.replies[0] = reply(0, str(figure[0]), figure[0])
    script = tell(notes, "a", measure, Read(0, figure[0]), grows)
    action, tick = next(script), 0
    while True:
        tick += 1
        text = str(figure[tick])
        if action != look:
            text = f"b gets {shares[tick]:.3f} {shares[tick - 1]:.3f}; two builds 0"
        seen = reply(tick, text, figure[tick])
        notes.replies[tick] = seen
        if action != look:
            known = notes.shares.setdefault("a", {})
            known |= {tick - back: share for back, share in enumerate(zone_shares(seen))}
        try:
            action = script.send(seen)
        except StopIteration as end:
            return end.value[1], tick


@pytest.mark.parametrize("free", [True, False])
def test_what_follows_the_zones_share_is_of_its_build_and_what_does_not_is_everywhere(
    free: bool,
) -> None:
    staged, took = told_by([0.7 * share for share in SHARES], free=free)
    assert staged == "zone b"
    assert took <= (4 if free else 6)
    for other in (WAVE, (0.3,) * len(SHARES)):
        assert told_by(list(other), free=free)[0] == "everywhere"


@pytest.mark.parametrize("wave", [(10, 3), (12, 8), (14, 11)])
def test_few_looks_at_the_zones_tell_their_shares_at_other_ticks(wave: Wave) -> None:
    shares = [ZONE_B * factor(wave, tick) for tick in range(14)]
    for figure, where in (([0.7 * each for each in shares], "zone b"), ([0.3] * 14, "everywhere")):
        found, looks = told_by(figure, shares=shares)
        assert found == where
        assert looks <= 4


def test_errors_of_meters_do_not_turn_the_finding() -> None:
    signs = [1 + ERROR * (-1) ** tick for tick in range(len(SHARES))]
    noisy = [0.7 * share * sign for share, sign in zip(SHARES, signs, strict=True)]
    assert told_by(noisy)[0] == "zone b"


def test_a_heap_is_told_by_how_its_growth_goes_on() -> None:
    heaps = {
        "zone b": [0.05 * share for share in SHARES],
        "everywhere": [0.02] * len(SHARES),
        "settles": [0.05 * 0.9**tick for tick in range(len(SHARES))],
    }
    assert {where: told_by(growth, grows=True)[0] for where, growth in heaps.items()} == {
        where: where for where in heaps
    }


def test_the_burn_rate_says_nothing_while_a_change_is_on_its_way() -> None:
    notes = Notes()
    notes.replies[3] = reply(3, "")
    assert told_freely(notes, by_burn)
    notes.changed = 2
    assert not told_freely(notes, by_burn)
    assert told_freely(notes, by_errors("a"))


BOTH = "build 20m in b feed.v 64→8, trial.level 250→20 | rev 21m bulk.n 100→15, feed.mode 9→1"


@pytest.mark.parametrize(
    ("text", "keys", "found"),
    [
        (BOTH, ("v", "mode"), True),
        (BOTH.replace("in b ", ""), ("v", "mode"), False),
        (BOTH, ("v",), False),
        (BOTH.replace("feed.mode", "geo.mode"), ("v", "mode"), False),
        ("build days old | rev 21m feed.v 100→15", ("v",), False),
    ],
)
def test_two_suspects_are_a_build_of_zone_b_and_a_revision_of_one_feature(
    text: str, keys: tuple[str, ...], found: bool
) -> None:
    assert twins(text, keys) is found


def test_a_way_down_ends_at_the_first_call_that_is_odd_in_itself() -> None:
    way = worst_way("entry", "one-api 0.40 > two-db 0.90 n 6.1x > three-db 0.10")
    assert [(hop.caller, hop.name, hop.kind, hop.figure) for hop in way] == [
        ("entry", "one-api", "", 0.0),
        ("one-api", "two-db", "calls", 6.1),
    ]
    assert worst_way("entry", "no call fails") == []
