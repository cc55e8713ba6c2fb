"""The benchmark card's part about drill-down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from metric_tracker_rl.commands.card_tables import pivot, table
from metric_tracker_rl.drilldown.audit import ROOTS
from metric_tracker_rl.drilldown.certificate import Certificate
from metric_tracker_rl.drilldown.certificate import summary as certified
from metric_tracker_rl.drilldown.certificate import table as certificate_table
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.policies.adversary import ADVERSARY, KNOWN, TRIES
from metric_tracker_rl.drilldown.policies.heuristics import HEURISTICS
from metric_tracker_rl.drilldown.policies.insights import READERS
from metric_tracker_rl.drilldown.versions import VERSIONS
from openenv_kit.trust.audit import REFERENCE

Line = Mapping[str, Any]
TEMPLATE = Path(__file__).with_name("card_drill_template.md")


def section(
    lines: Sequence[Line],
    combinations: Mapping[str, Line],
    proofs: Sequence[Certificate],
    by_hand: Sequence[Line],
) -> str:
    """The part of the card, from what was measured.

    Args:
        lines: of the audit; those of its main setting are shown.
        combinations: what the adversary found, by level.
        proofs: certificates.
        by_hand: see `by_hand_table`.
    """
    every = pd.DataFrame([line for line in lines if line["setting"] == ROOTS])
    heuristics = [name for name in HEURISTICS if name not in READERS]
    played = [REFERENCE, *heuristics, ADVERSARY.name]
    shown = [name for name in played if name in set(every["policy"])]
    titles, rows = certificate_table(proofs)
    seeds = len({proof.config.seed for proof in proofs})
    return TEMPLATE.read_text(encoding="utf-8").format(
        versions=", ".join(f"{name} {version}" for name, version in VERSIONS.items()),
        certified=len(proofs),
        seeds=seeds,
        cross=", ".join(
            f"`{level}` {_cross([each for each in proofs if each.config.difficulty == level])}"
            for level in dict.fromkeys(proof.config.difficulty for proof in proofs)
        ),
        held=sum(proof.holds for proof in proofs),
        certificates=table(titles, rows, names=2),
        summary=certified(proofs),
        episodes=_episodes(every),
        heuristics=_pivot(every, "heuristic", shown, _limited),
        known=KNOWN,
        tries=TRIES,
        combinations="\n".join(_combination(level, found) for level, found in combinations.items()),
        insights=_pivot(every, "policy", list(READERS), "{mean:.3f} / {perfect:.0%}".format),
        by_hand=by_hand_table(by_hand),
    )


def _cross(proofs: Sequence[Certificate]) -> str:
    """Products × numbers of causes × seeds of some certificates."""
    return " × ".join(
        str(len({getattr(proof.config, name) for proof in proofs}))
        for name in ("product", "causes", "seed")
    )


def by_hand_table(plays: Sequence[Line]) -> str:
    """Plays by a reader without code: level, when, how many, how many exact, mean score, aim."""
    cells = "`{level}`|{when}|{exact} of {plays}|{mean:.2f}|{aim}"
    head = ["level", "levels and generator", "exact", "mean score", "aim: share exact"]
    return table(head, [cells.format(**each).split("|") for each in plays], names=2)


def _pivot(lines: pd.DataFrame, title: str, names: Sequence[str], cell: Any) -> str:
    told = lines.rename(columns={"policy": title})
    told["told"] = [cell(**line) for line in lines.to_dict("records")]
    return pivot(told[told[title].isin(names)], title, names, "{told}", LEVELS)


def _limited(
    mean: float, perfect: float, max_mean: float | None, max_perfect: float | None, **_: Any
) -> str:
    """A mean and a share of perfect episodes, with the ceiling where there is one."""
    ceiling = ""
    if max_mean is not None and max_mean < 1.0:
        ceiling = f" [{max_mean:.2f} / {max_perfect:.0%}]"
    return f"{mean:.3f} / {perfect:.0%}{ceiling}"


def _episodes(lines: pd.DataFrame) -> str:
    """How many episodes of each level were audited, in words."""
    counts = lines.groupby("difficulty", sort=False)["episodes"].max()
    return ", ".join(f"{count} of `{level}`" for level, count in counts.items())


def _combination(level: str, found: Line) -> str:
    members = ", ".join(f"`{name}`" for name in found["members"])
    votes = f"rows that {found['votes']} of them report" if found["votes"] > 1 else "all rows"
    one = ", one a run" if found["one_a_run"] else ""
    return f"- `{level}`: {members}; {votes}{one}"
