"""Kinds of services, errors and breaker states."""

from __future__ import annotations

from enum import StrEnum


class ServiceKind(StrEnum):
    """What a service does. Its stack, size and callees are drawn by kind (`catalogue.py`)."""

    INGRESS = "ingress"
    APPLICATION = "application"
    WORKER = "worker"
    STORE = "store"
    CACHE = "cache"
    QUEUE = "queue"
    THIRD_PARTY = "third_party"


class ErrorReason(StrEnum):
    """Why a request or call failed."""

    EXCEPTION = "exception"  # 500 of the service's own code
    BAD_GATEWAY = "bad_gateway"  # 502
    REJECTED = "rejected"  # 503: the queue was full or no pod was ready
    TIMEOUT = "timeout"  # 504: the callee did not answer in time
    REFUSED = "refused"
    RESET = "reset"
    TLS = "tls"
    DNS = "dns"
    UNAUTHORIZED = "unauthorized"  # 401
    FORBIDDEN = "forbidden"  # 403
    RATE_LIMITED = "rate_limited"  # 429
    POOL_TIMEOUT = "pool_timeout"  # the client's pool had no free connection


# Failures of the connection itself: the callee receives no request.
CONNECTION_REASONS = frozenset(
    {ErrorReason.REFUSED, ErrorReason.RESET, ErrorReason.TLS, ErrorReason.DNS}
)


class BreakerState(StrEnum):
    """State of a client's circuit breaker. Behind an open one, no calls are made."""

    CLOSED = "closed"
    OPEN = "open"
