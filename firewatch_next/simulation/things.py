"""Things of a service that faults can live on, beside its versions, settings and pods."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Flag:
    """A feature flag: the share of requests that run its code, in percent.

    Attributes:
        error_share: share of the requests with the flag that fail because of it (effect).
        leaked_bytes, leaked_connections: in the ready pods, opened with the flag (effect).
    """

    name: str
    percent: float
    error_share: float = 0.0
    leaked_bytes: float = 0.0
    leaked_connections: float = 0.0


@dataclass(slots=True)
class Job:
    """A batch job or a session that uses a service beside its callers, such as a database.

    Attributes:
        user: name under which the service sees it.
        load: requests per second; cpu_seconds_per_request of the service's CPU.
    """

    name: str
    user: str
    is_running: bool
    started_tick: int
    load: float
    cpu_seconds_per_request: float


@dataclass(slots=True)
class Tenant:
    """A customer with much data, which can grow without any change."""

    name: str
    memory_bytes: float = 0.0  # kept in each pod for it


@dataclass(slots=True)
class Certificate:
    """The certificate that a service shows to new connections."""

    name: str
    issuer: str
    expires_tick: int


@dataclass(slots=True)
class RecordSet:
    """Stored records of a service by layout and writer, such as cache entries or queue messages."""

    layout: str
    writer: str  # "service version"
    share: float  # of all records
