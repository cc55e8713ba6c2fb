"""One session of the environment: it plays a funnel or a drill-down episode, as the reset asks.

Each tier has an engine of its own. A reset chooses one by the names it is given; steps then go to
that engine directly.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from metric_tracker_rl.analysis_tools import TOOLS as FUNNEL_TOOLS
from metric_tracker_rl.drilldown.session import RESET_ARGUMENTS as DRILL_ARGUMENTS
from metric_tracker_rl.drilldown.session import DrillSession
from metric_tracker_rl.drilldown.tasks import is_drill
from metric_tracker_rl.drilldown.tasks import resolve_config as resolve_drill
from metric_tracker_rl.drilldown.tools import TOOLS as DRILL_TOOLS
from metric_tracker_rl.engine.episode import build_episode
from metric_tracker_rl.engine.session import DEFAULT_SPLIT, EpisodeSession
from metric_tracker_rl.engine.session import RESET_ARGUMENTS as FUNNEL_ARGUMENTS
from metric_tracker_rl.engine.tasks import resolve_config as resolve_funnel
from metric_tracker_rl.rows import Progress
from metric_tracker_rl.tier_splits import SPLITS
from openenv_kit.environment import ERROR, Reply
from openenv_kit.errors import GenerationError, KitError

RESET_ARGUMENTS = (
    *FUNNEL_ARGUMENTS,
    *(name for name in DRILL_ARGUMENTS if name not in FUNNEL_ARGUMENTS),
)
"""Names that a reset of either tier takes."""


class MetricSession:
    """Plays one episode at a time, of either tier.

    Args:
        debug: show answers; see the engines' sessions.

    Attributes:
        engine: the session that plays the running episode.
        task_id: task of the running episode.
        step: one step of it; nothing stands between.
    """

    step: Callable[[Mapping[str, Any]], Reply]

    def __init__(self, *, debug: bool = False) -> None:
        self._funnel = EpisodeSession(debug=debug, elsewhere=DRILL_TOOLS)
        self._drill = DrillSession(debug=debug, elsewhere=FUNNEL_TOOLS)
        self._switch(self._funnel)

    def _switch(self, engine: EpisodeSession | DrillSession) -> None:
        self.engine, self.task_id = engine, engine.task_id
        self.step = engine.step

    @property
    def done(self) -> bool:
        """Whether an episode was started and is over."""
        return self.engine.done

    def reset(self, **arguments: Any) -> Reply:
        """Start an episode of the tier whose task, split, level or product is named.

        A reset that fails leaves the running episode untouched, whichever tier it is of.
        """
        drill = is_drill(arguments)
        engine = self._drill if drill else self._funnel
        known = DRILL_ARGUMENTS if drill else FUNNEL_ARGUMENTS
        given = {
            name: value
            for name, value in arguments.items()
            if value is not None or name in known or name not in RESET_ARGUMENTS
        }
        reply = engine.reset(**given)
        if reply.status == ERROR:
            reply.done = self.done
        else:
            self._switch(engine)
        return reply

    def state(self) -> Progress:
        """Public progress: never a label, a seed or a score in the making."""
        return self.engine.state()

    def identity(self) -> dict[str, Any]:
        """Configuration and rules of play, JSON-ready; it holds the seed and is never shown."""
        return self.engine.identity()


def groups_of(reset: Mapping[str, Any]) -> dict[str, str]:
    """What results of an episode are told by; nothing of a sealed one."""
    split = reset.get("split")
    if split is not None and split == SPLITS.of(split).sealed:
        return {}
    config = config_of(reset)
    return {
        "level": config.difficulty,
        **({"product": config.product} if is_drill(reset) else {"family": config.scenario_family}),
    }


def config_of(reset: Mapping[str, Any]) -> Any:
    """Configuration of the episode that a reset's arguments start.

    Raises:
        KitError: they are wrong, as far as that can be seen here.
    """
    split, index = reset.get("split"), reset.get("index")
    if split is not None or index is not None:
        return SPLITS.task(split or DEFAULT_SPLIT, index or 0).config
    resolve = resolve_drill if is_drill(reset) else resolve_funnel
    known = inspect.signature(resolve).parameters
    return resolve(**{name: value for name, value in reset.items() if name in known})[1]


def make_ahead(resets: Iterable[Mapping[str, Any]]) -> None:
    """Make the funnel episodes of many resets together.

    A reset that is wrong says so itself; one with anomalies of its own is left alone, because they
    may be wrong too.
    """
    configs = []
    for reset in resets:
        if not is_drill(reset) and not reset.get("anomalies"):
            with suppress(KitError):
                configs.append(config_of(reset))
    with suppress(GenerationError):
        build_episode.make_ahead(configs)
