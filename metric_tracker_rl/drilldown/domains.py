"""The products of the drill-down tier as pure data.

A product is a `Domain` value and no code: the generator, the tools, the players and the grader
read names, sizes and rates from here. Another product is another value, checked by `Domain`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from openenv_kit.errors import InvalidValueError

STAGES = 5
DIMENSIONS = (4, 5)
"""Numbers of dimensions that a product may have."""
TRACKING = "tracking"
"""The component that every product has beside its own: losses of recorded events."""
RESERVED = (
    *("date", "stage", "counts", "weekday", "usual", "share", "weight", "surplus", "people"),
    *("judged", "moved", "w", "u", "p"),
)
"""Names of columns that replies and the reference's queries have themselves."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,39}")


@dataclass(frozen=True)
class Dimension:
    """One attribute of people.

    Attributes:
        name: what requests call it.
        values: (value, weight) pairs; weights are relative shares of the people.
        rate_effect: half-width of a value's relative effect on step rates, in [0, 0.5].
    """

    name: str
    values: tuple[tuple[str, float], ...]
    rate_effect: float

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of its values."""
        return tuple(name for name, _ in self.values)


@dataclass(frozen=True)
class Domain:
    """A product.

    Attributes:
        name: identifier; part of an episode's identity.
        dims: four or five dimensions of 2 to 8 values each.
        stages: five stages, in funnel order.
        base_rates: four step rates, each in (0, 0.95).
        components: one component for each stage, which the change log names.
        weekday: seven traffic factors, Monday first.
        weekly_dim: dimension whose values have a weekday pattern of their own.
        noisy_dim: dimension whose values have day noise of their own.
        volume: factor on a level's visits a day.
        affinity: half-width of the relative tie between two values of different dimensions.

    Raises:
        InvalidValueError: a field has another shape or range.
    """

    name: str
    dims: tuple[Dimension, ...]
    stages: tuple[str, ...]
    base_rates: tuple[float, ...]
    components: tuple[str, ...]
    weekday: tuple[float, ...]
    weekly_dim: int
    noisy_dim: int
    volume: float = 1.0
    affinity: float = 0.35

    def __post_init__(self) -> None:
        _require_named("name", self.name)
        if len(self.dims) not in DIMENSIONS:
            raise InvalidValueError("number of dimensions", len(self.dims), "4 or 5")
        _require_length("stages", self.stages, STAGES)
        _require_length("components", self.components, STAGES)
        _require_length("base_rates", self.base_rates, STAGES - 1)
        _require_length("weekday", self.weekday, 7)
        columns = (*self.dim_names, *self.stages)
        _require_distinct("name of a dimension or stage", columns, RESERVED)
        _require_distinct("component", self.components, (TRACKING,))
        for name in (*columns, *self.components):
            _require_named("name", name)
        for dim in self.dims:
            if not 2 <= len(dim.values) <= 8:
                raise InvalidValueError(f"number of values of {dim.name}", len(dim.values), "2-8")
            _require_distinct(f"value of {dim.name}", dim.names)
            for value, weight in dim.values:
                if not _VALUE.fullmatch(value):
                    allowed = "1 to 40 letters, digits, spaces and _ . + -, a letter or digit first"
                    raise InvalidValueError(f"value of {dim.name}", value, allowed)
                _require_between(f"weight of {value}", weight, 0.0, 100.0)
            _require_between(f"rate_effect of {dim.name}", dim.rate_effect, 0.0, 0.5)
        for rate in self.base_rates:
            _require_between("base rate", rate, 0.0, 0.95)
        for factor in self.weekday:
            _require_between("weekday factor", factor, 0.0, 10.0)
        _require_between("volume", self.volume, 0.0, 10.0)
        _require_between("affinity", self.affinity, 0.0, 0.5)
        for dim_index in (self.weekly_dim, self.noisy_dim):
            if dim_index not in range(len(self.dims)):
                most = len(self.dims) - 1
                raise InvalidValueError("dimension index", dim_index, f"0 to {most}")

    @cached_property
    def dim_names(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return tuple(dim.name for dim in self.dims)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each dimension."""
        return tuple(len(dim.values) for dim in self.dims)


def _require_named(kind: str, given: str) -> None:
    if not _NAME.fullmatch(given):
        allowed = "1 to 40 small letters, digits and _, a letter first"
        raise InvalidValueError(kind, given, allowed)


def _require_length(name: str, given: Sequence[object], length: int) -> None:
    if len(given) != length:
        raise InvalidValueError(f"number of {name}", len(given), str(length))


def _require_distinct(kind: str, given: Sequence[str], taken: Sequence[str] = ()) -> None:
    """No name twice, and none that is taken."""
    for place, name in enumerate(given):
        if name in given[:place] or name in taken:
            others = f" and from {', '.join(taken)}" if taken else ""
            raise InvalidValueError(kind, name, f"names that differ from each other{others}")


def _require_between(name: str, given: float, low: float, high: float) -> None:
    """Above `low`, except that zero is a rate effect; at most `high`."""
    if not low <= given <= high or (given == 0.0 and not name.startswith("rate_effect")):
        raise InvalidValueError(name, given, f"a number above {low} and up to {high}")


ORDERING_APP = Domain(
    name="ordering_app",
    dims=(
        Dimension("platform", (("ios", 0.42), ("android", 0.45), ("web", 0.13)), 0.06),
        Dimension(
            "country",
            (
                *(("us", 0.26), ("uk", 0.20), ("de", 0.17)),
                *(("fr", 0.14), ("in", 0.13), ("br", 0.10)),
            ),
            0.08,
        ),
        Dimension(
            "app_version", (("8.4", 0.30), ("8.5", 0.34), ("8.6", 0.24), ("8.7", 0.12)), 0.04
        ),
        Dimension(
            "channel",
            (("organic", 0.36), ("paid_search", 0.26), ("social", 0.21), ("email", 0.17)),
            0.10,
        ),
    ),
    stages=(
        "app_opens",
        "menu_opens",
        "product_added_to_cart",
        "orders_placed",
        "payment_successful",
    ),
    base_rates=(0.60, 0.41, 0.52, 0.88),
    components=("acquisition", "menu", "cart", "checkout", "payments"),
    weekday=(0.93, 0.94, 0.96, 0.99, 1.06, 1.09, 1.03),
    weekly_dim=3,
    noisy_dim=1,
)

SAAS_TRIAL = Domain(
    name="saas_trial",
    dims=(
        Dimension("plan", (("starter", 0.46), ("team", 0.34), ("business", 0.20)), 0.08),
        Dimension(
            "region", (("amer", 0.36), ("emea", 0.30), ("apac", 0.21), ("latam", 0.13)), 0.06
        ),
        Dimension(
            "source",
            (
                *(("search", 0.28), ("direct", 0.24), ("partner", 0.19)),
                *(("content", 0.16), ("events", 0.13)),
            ),
            0.10,
        ),
        Dimension(
            "company_size", (("1-9", 0.34), ("10-49", 0.28), ("50-249", 0.22), ("250+", 0.16)), 0.06
        ),
    ),
    stages=(
        "pricing_views",
        "signups",
        "workspaces_activated",
        "teammates_invited",
        "subscriptions_paid",
    ),
    base_rates=(0.34, 0.66, 0.55, 0.62),
    components=("marketing_site", "signup", "onboarding", "collaboration", "billing"),
    weekday=(1.12, 1.14, 1.12, 1.08, 1.00, 0.76, 0.78),
    weekly_dim=2,
    noisy_dim=1,
    volume=1.15,
)

VIDEO_STREAMING = Domain(
    name="video_streaming",
    dims=(
        Dimension(
            "device",
            (("tv", 0.28), ("phone", 0.26), ("tablet", 0.18), ("desktop", 0.16), ("console", 0.12)),
            0.08,
        ),
        Dimension(
            "region", (("north", 0.32), ("south", 0.27), ("east", 0.23), ("west", 0.18)), 0.05
        ),
        Dimension("tier", (("ads", 0.42), ("standard", 0.36), ("premium", 0.22)), 0.08),
        Dimension("player", (("v3", 0.30), ("v4", 0.32), ("v5", 0.23), ("beta", 0.15)), 0.05),
    ),
    stages=(
        "sessions",
        "titles_opened",
        "plays_started",
        "ten_minutes_watched",
        "titles_finished",
    ),
    base_rates=(0.64, 0.58, 0.70, 0.52),
    components=("discovery", "title_pages", "playback", "delivery", "recommendations"),
    weekday=(0.92, 0.91, 0.92, 0.95, 1.06, 1.15, 1.09),
    weekly_dim=0,
    noisy_dim=1,
)

MARKETPLACE_CHECKOUT = Domain(
    name="marketplace_checkout",
    dims=(
        Dimension("device", (("phone", 0.48), ("desktop", 0.36), ("tablet", 0.16)), 0.08),
        Dimension(
            "category",
            (
                *(("home", 0.23), ("fashion", 0.21), ("electronics", 0.18)),
                *(("sports", 0.15), ("toys", 0.13), ("garden", 0.10)),
            ),
            0.08,
        ),
        Dimension(
            "buyer_country",
            (("us", 0.28), ("uk", 0.22), ("de", 0.19), ("jp", 0.17), ("au", 0.14)),
            0.06,
        ),
        Dimension("seller_tier", (("new", 0.30), ("rated", 0.40), ("top", 0.30)), 0.06),
    ),
    stages=("searches", "listing_views", "basket_adds", "checkouts", "payments"),
    base_rates=(0.58, 0.36, 0.56, 0.84),
    components=("search", "listings", "basket", "checkout", "payments"),
    weekday=(1.03, 1.00, 0.98, 0.98, 0.97, 1.00, 1.04),
    weekly_dim=1,
    noisy_dim=2,
    volume=1.35,
)

DOMAINS: dict[str, Domain] = {
    domain.name: domain
    for domain in (ORDERING_APP, SAAS_TRIAL, VIDEO_STREAMING, MARKETPLACE_CHECKOUT)
}
"""Every product by name."""
