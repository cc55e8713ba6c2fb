"""Checks that the tools that a player was offered match the episode that it plays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openenv_kit.catalogue import Catalogue
from openenv_kit.datasets.task_sampling import add_default_split
from openenv_kit.environment import Environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.reset_arguments import drop_task_seed_and_level


def require_offered_tools_to_match_episode(
    environment: Environment,
    offered_tool_names: Sequence[str],
    reset_arguments: Mapping[str, Any],
    tools: Catalogue,
) -> None:
    """Check the tools that a player was offered before its episode was started.

    Args:
        environment: environment of the episode.
        offered_tool_names: names of the tools that the player was offered.
        reset_arguments: reset arguments of the episode.
        tools: tools of the episode.

    Raises:
        InvalidValueError: the offered tools are not the tools of the episode.
    """
    acceptable = _list_possibly_offered_catalogues(environment, reset_arguments, tools)
    if set(offered_tool_names) in [set(catalogue.tool_names) for catalogue in acceptable]:
        return
    raise InvalidValueError(
        "reset",
        reset_arguments,
        "an episode with the tools that the player was offered: "
        f"{', '.join(offered_tool_names)}. This one has {', '.join(tools.tool_names)}",
    )


def _list_possibly_offered_catalogues(
    environment: Environment, reset_arguments: Mapping[str, Any], tools: Catalogue
) -> list[Catalogue]:
    """Return the tool catalogues that a player may have been offered for an episode.

    In a split whose episodes have different tools, players are offered the tools of all episodes.
    """
    of_any_index = {name: value for name, value in reset_arguments.items() if name != "index"}
    of_any_episode = drop_task_seed_and_level(environment.reset_arguments, of_any_index)
    acceptable = [tools, environment.tools.select_for_episode(of_any_index)]
    mixed = environment.tools.select_for_episode(add_default_split(environment, of_any_episode))
    if set(tools.tool_names) <= set(mixed.tool_names):
        acceptable.append(mixed)
    return acceptable
