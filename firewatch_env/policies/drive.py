"""Playing a policy's script against a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firewatch_env.policies.seen import Action, Script, Seen
from firewatch_env.session import Reply, Session

Policy = Callable[[Seen], Script]
_Watch = Callable[[Action, Reply], None]


def drive(session: Session, policy: Policy, watch: _Watch | None = None, **reset: Any) -> Reply:
    """Play one episode to its end, or to the end of the policy's script.

    Args:
        session: is reset first.
        policy: makes the script.
        watch: called after every step.
        **reset: reset's arguments.
    """
    reply = session.reset(**reset)
    script = policy(Seen(reply.observation, reply.info))
    try:
        action = next(script)
        while True:
            reply = session.step(action)
            if watch is not None:
                watch(action, reply)
            if reply.done:
                script.close()
                return reply
            action = script.send(Seen(reply.observation, reply.info))
    except StopIteration:
        return reply
