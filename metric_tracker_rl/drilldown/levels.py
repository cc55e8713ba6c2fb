"""Difficulty levels of the drill-down tier, declared in one table.

A level decides how noisy the data are, how large causes are and how well they show. The definition
of the answer and the grade are the same on all of them. So is what hides causes: neither single
values by day nor pairs of values by week show one, but for a mix shift, since everybody else moves
against it. Any two are two quiet days apart, so that none leads to another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

RATE = "rate_change"
TRAFFIC = "traffic_change"
MIX = "mix_shift"
LOSS = "tracking_loss"
KINDS = (RATE, TRAFFIC, MIX, LOSS)
"""Kinds of a root."""

CANCEL = "cancel"
"""A family of two roots: opposite rate changes of disjoint segments, the total stands still."""
CANCEL_TRAFFIC = "cancel_traffic"
"""The same with traffic: looks like a mix shift, but only two segments move."""
DOUBLE = "double"
"""A family of two roots: one segment loses on two steps in a row; looks like a tracking loss."""

SLICES = ("overview", "slice", "compare", "change_log", "preview_report", "submit_report")
"""Tools of the levels whose counts are read by slices."""
QUERIES = ("overview", "sql", "change_log", "preview_report", "submit_report")
"""Tools of the level whose counts are read by SQL."""


MOST_NUMBERS = 1_200
"""Most numbers in one reply, or that one query may compute."""


@dataclass(frozen=True)
class Noise:
    """Noise of clean data.

    Attributes:
        visits: lowest and highest mean number of visits a day.
        traffic, traffic_value: standard deviation of a day's traffic: common to all, and of each
            value of the noisy dimension.
        rate, rate_value: the same for step rates.
    """

    visits: tuple[float, float]
    traffic: float
    traffic_value: float
    rate: float
    rate_value: float


L2 = Noise((1.5e6, 1.9e6), 0.012, 0.006, 0.0025, 0.002)
L3 = Noise((0.8e6, 1.0e6), 0.014, 0.008, 0.003, 0.0025)
CROWD = Noise((5.4e6, 6.0e6), 0.014, 0.008, 0.003, 0.0025)
"""Days as noisy as those of L3, with people enough to be sure of one day of a small segment."""


@dataclass(frozen=True)
class Level:
    """One level.

    Attributes:
        name: identifier at reset.
        noise: noise of clean data.
        families: causes are drawn from these, all equally likely.
        sizes: smallest and largest relative change of rates, traffic, the segment of a mix shift,
            and lost events.
        faint: whether weekly sums of its own segment hardly show a hidden cause either: it lasts
            one day and is as small as is certain.
        in_pairs: most that weekly sums of two values may show of a hidden cause, in units of what
            noise may do to them.
        evidence: least and most standard deviations that a hidden cause is planned to show, in
            one of its steps or in two together, where weekly tables of two attributes are read
            together.
        causes: numbers of planned causes, one for each of the six strata of a product.
        budget: most numbers that a player may read, or that its queries may compute.
        tools: names of the tools in force, in the order agents see them.
        most_rows, most_bytes: most rows, and bytes of them, that a player may read on the SQL
            level.
        stream: version of the generator that last changed what the level's draws are. It is part
            of their identity, so that its bytes outlive changes of the other levels, and of what
            is accepted all draws but those that are now refused.
    """

    name: str
    noise: Noise
    families: tuple[str, ...]
    rate: tuple[float, float]
    traffic: tuple[float, float]
    mix: tuple[float, float]
    loss: tuple[float, float]
    causes: tuple[int, ...]
    budget: int
    faint: bool = False
    in_pairs: float = 1.0
    evidence: tuple[float, float] = (0.0, 0.0)
    tools: tuple[str, ...] = SLICES
    most_rows: int = 0
    most_bytes: int = 0
    stream: str = "2"

    @property
    def sql(self) -> bool:
        """Whether the counts are read by SQL, and the product has five dimensions."""
        return "sql" in self.tools

    @property
    def limits(self) -> dict[str, int]:
        """What a play may read, by unit."""
        replies = {"rows": self.most_rows, "bytes": self.most_bytes} if self.sql else {}
        return {"numbers": self.budget, **replies}


_FAINT = Level(
    name="drill",
    noise=L3,
    families=(RATE, TRAFFIC, DOUBLE, *[CANCEL] * 5, *[CANCEL_TRAFFIC] * 2, *[LOSS] * 12),
    rate=(0.11, 0.30),
    traffic=(0.22, 0.50),
    mix=(0.45, 0.55),
    loss=(0.11, 0.30),
    causes=(0, 2, 2, 3, 3, 3),
    budget=6_300,
    faint=True,
    evidence=(3.8, 4.8),
    stream="6",
)

LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level(
            name="drill_easy",
            noise=CROWD,
            families=(
                *(RATE, TRAFFIC, MIX, MIX, DOUBLE, CANCEL, CANCEL, CANCEL),
                *(LOSS, LOSS, LOSS, LOSS, LOSS, LOSS),
            ),
            rate=(0.13, 0.25),
            traffic=(0.28, 0.45),
            mix=(0.45, 0.55),
            loss=(0.14, 0.25),
            causes=(0, 1, 1, 2, 2, 2),
            budget=5_200,
            in_pairs=1.6,
            evidence=(3.6, 5.0),
            stream="7",
        ),
        _FAINT,
        replace(
            _FAINT,
            name="drill_hard",
            causes=(0, 3, 4, 4, 4, 4),
            evidence=(3.4, 4.2),
            stream="5",
        ),
        replace(
            _FAINT,
            name="drill_sql",
            families=(
                RATE,
                TRAFFIC,
                MIX,
                DOUBLE,
                *[CANCEL] * 3,
                *[CANCEL_TRAFFIC] * 3,
                *[LOSS] * 8,
            ),
            causes=(0, 3, 4, 4, 4, 4),
            budget=12_000,
            evidence=(3.7, 4.3),
            tools=QUERIES,
            most_rows=4_000,
            most_bytes=300_000,
        ),
    )
}
