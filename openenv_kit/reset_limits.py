"""Enforces a server's limits on the arguments of a reset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError, InvalidValueError, UnknownNameError
from openenv_kit.reply import Reply, ReplyStatus
from openenv_kit.reset_arguments import EPISODE_ID, MAX_STEPS, MAX_SUBMISSIONS, PRODUCT
from openenv_kit.serving.episodes.ids import require_valid_episode_id
from openenv_kit.session import Session

CAPPED_RESET_ARGUMENTS = (MAX_STEPS.name, MAX_SUBMISSIONS.name)
"""Names of the reset arguments whose maximum is a server setting."""


class ResetLimits(Protocol):
    """A server's limits on the arguments of a reset."""

    @property
    def max_steps(self) -> int:
        """Largest `max_steps` of an episode."""

    @property
    def max_submissions(self) -> int:
        """Largest `max_submissions` of an episode."""

    @property
    def inline_products(self) -> bool:
        """Whether a reset may contain a product itself instead of a product's name."""


def reset_within_server_limits(
    environment: Environment,
    session: Session,
    reset_arguments: Mapping[str, Any],
    limits: ResetLimits,
) -> Reply:
    """Check reset arguments against a server's limits, then start the episode.

    If a limited argument is omitted and the environment's default exceeds the server's maximum, the
    maximum is used.

    Args:
        environment: the environment.
        session: session in which the episode is started.
        reset_arguments: arguments of the reset, not validated. `episode_id` is validated and not
            passed to the session.
        limits: the server's settings.

    Returns:
        The reply to the reset. Its status is `error` if an argument is unknown, wrong or above a
        limit; in this case, the session's current episode continues unchanged.
    """
    known_arguments, defaults = environment.reset_arguments, environment.episode_limits
    try:
        for name in reset_arguments:
            if name not in known_arguments:
                raise UnknownNameError("reset argument", name, known_arguments)
        if reset_arguments.get(EPISODE_ID.name) is not None:
            require_valid_episode_id(reset_arguments[EPISODE_ID.name])
        product = reset_arguments.get(PRODUCT.name)
        if not limits.inline_products and isinstance(product, Mapping):
            raise InvalidValueError(
                PRODUCT.name, product, "the name of a product; this server takes no inline products"
            )
        arguments = {
            name: value for name, value in reset_arguments.items() if name != EPISODE_ID.name
        }
        for name in CAPPED_RESET_ARGUMENTS:
            maximum, default = getattr(limits, name), getattr(defaults, name)
            requested = arguments.get(name)
            if default is None or name not in known_arguments:
                continue
            if isinstance(requested, int) and requested > maximum:
                raise InvalidValueError(
                    name, requested, f"an integer from 1 to {maximum} on this server"
                )
            if requested is None and maximum < default:
                arguments[name] = maximum
    except ConfigurationError as problem:
        return Reply(ReplyStatus.ERROR, str(problem), done=session.done)
    return session.reset(**arguments)
