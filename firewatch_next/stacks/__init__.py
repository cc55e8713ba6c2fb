"""Stacks: the kinds of programs that services run, one file per log format."""

from __future__ import annotations

from firewatch_next.simulation.log_event import Wording
from firewatch_next.simulation.service import ServiceKind
from firewatch_next.stacks.dotnet import DOTNET
from firewatch_next.stacks.envoy import ENVOY
from firewatch_next.stacks.go_logfmt import GO_LOGFMT
from firewatch_next.stacks.java_spring import JAVA_SPRING
from firewatch_next.stacks.kafka import KAFKA
from firewatch_next.stacks.nginx import NGINX
from firewatch_next.stacks.node_pino import NODE_PINO
from firewatch_next.stacks.postgres import POSTGRES
from firewatch_next.stacks.python_uvicorn import PYTHON_UVICORN
from firewatch_next.stacks.redis import REDIS
from firewatch_next.stacks.stack import Stack

STACKS: dict[str, Stack] = {
    stack.name: stack
    for stack in (
        JAVA_SPRING,
        GO_LOGFMT,
        PYTHON_UVICORN,
        NGINX,
        ENVOY,
        POSTGRES,
        REDIS,
        KAFKA,
        NODE_PINO,
        DOTNET,
    )
}


def list_stacks(kind: ServiceKind, wording: Wording) -> list[str]:
    """Return the stacks from which that of a service is drawn; empty for a third party."""
    return [s.name for s in STACKS.values() if kind in s.kinds and wording in s.wordings]
