"""Certificates of both tiers, as the kit asks for them: one tier in a run.

What is proven differs, and so do the tables; a configuration's type says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metric_tracker_rl.drilldown import certificate as drill
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.engine import certificate as funnel
from metric_tracker_rl.engine.levels import LEVELS
from openenv_kit.errors import InvalidValueError, require_name

levels = (*funnel.levels, *drill.levels)
usual_levels = tuple(LEVELS)
"""Levels of a run that names none: a drill-down certificate takes most of a second, and rungs are
between these."""


def grid(
    seeds: range, *, difficulties: Sequence[str], reset: Mapping[str, Any] | None = None
) -> Iterable[Any]:
    """Configurations of every level asked for.

    Args:
        seeds: of each family, level and count.
        difficulties: names of levels.
        reset: `policy`, the reporting policy of funnel episodes. Profiles and disclosures are in
            every certificate.

    Raises:
        UnknownNameError: another reset argument; names the nearest.
        InvalidValueError: levels of both tiers.
    """
    tiers = {name in drill.levels for name in difficulties}
    if reset and True in tiers:
        raise InvalidValueError("--reset", dict(reset), "none on drill-down levels")
    for name in reset or {}:
        require_name("--reset", name, ["policy"])
    if len(tiers) > 1:
        raise InvalidValueError("difficulty", list(difficulties), "levels of one tier in a run")
    certifier: Any = drill if tiers == {True} else funnel
    made: Iterable[Any] = certifier.grid(seeds, difficulties=difficulties, **(reset or {}))
    return made


def certify_one(config: Any) -> Any:
    """The certificate of a configuration."""
    return _tier_of(config).certify_one(config)


def certify_all(configs: Sequence[Any]) -> list[Any]:
    """The certificates of configurations of one tier; funnel episodes are generated together."""
    if _tier_of(configs[0]) is funnel:
        return list(funnel.certify_all(configs))
    return [drill.certify_one(config) for config in configs]


def certificate_from(told: dict[str, Any]) -> Any:
    """A certificate from its JSON form.

    Raises:
        KeyError, TypeError: it is not one.
    """
    certifier: Any = drill if "product" in told["config"] else funnel
    return certifier.certificate_from(told)


def table(certificates: Sequence[Any]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Titles and rows of a table of certificates of one tier."""
    titles, rows = _tier_of(certificates[0].config).table(certificates)
    return titles, rows


def summary(certificates: Sequence[Any]) -> str:
    """The same in a few words."""
    return str(_tier_of(certificates[0].config).summary(certificates))


def _tier_of(config: Any) -> Any:
    return drill if isinstance(config, DrillConfig) else funnel
