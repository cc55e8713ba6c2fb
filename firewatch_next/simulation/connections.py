"""How the connections of a client are renewed after a certificate or address has changed."""

from __future__ import annotations

from firewatch_next.simulation.service import CalleeClient, Service


def update_old_connections(
    service: Service, client: CalleeClient, since_tick: int, now: int, lifetime_ticks: float
) -> None:
    """Set the share of a client's calls that still use a connection from before a tick.

    The connections of a pod that ran at that tick end one after the other within their lifetime. A
    pod that was started later has none of them.

    Args:
        service: the client's service.
        client: set by the call.
        since_tick: tick of the change.
        now: present tick.
        lifetime_ticks: ticks until the last connection ends.
    """
    ready = service.ready_pods(now)
    old_pods = [pod for pod in ready if pod.started_tick < since_tick]
    left = 1.0 - (now - since_tick + 1) / lifetime_ticks
    if not ready or left <= 0.0:
        client.old_connections_share = 0.0
    else:
        client.old_connections_share = left * len(old_pods) / len(ready)
