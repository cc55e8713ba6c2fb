"""Things of a service that faults can live on, beside its versions, settings and pods."""

from __future__ import annotations

from dataclasses import dataclass

NO_JOB_LIMIT = 1e12
USUAL_ISSUER = "internal-ca-1"  # the certificate authority that every service trusts


@dataclass(slots=True)
class Flag:
    """A feature flag: the share of requests that run its code, in percent.

    Attributes:
        error_share: share of the requests with the flag that fail because of it (effect).
        disk_growth: share of the disk that it fills in a tick (effect).
        leaked_bytes, leaked_connections: in the ready pods, opened with the flag (effect).
        cpu_factor, calls_factor, query_factor: CPU, calls and database time of a request with the
            flag, to one without (effect).
    """

    name: str
    percent: float
    error_share: float = 0.0
    leaked_bytes: float = 0.0
    leaked_connections: float = 0.0
    disk_growth: float = 0.0
    cpu_factor: float = 1.0
    calls_factor: float = 1.0
    query_factor: float = 1.0


@dataclass(slots=True)
class Job:
    """A batch job or a session that uses a service beside its callers, such as a database.

    Attributes:
        user: name under which the service sees it.
        load: requests per second; cpu_seconds_per_request of the service's CPU.
        blocks_rows: a transaction that holds locks on rows while it runs.
        load_limit: requests per second that the service lets it run, for the time being.
    """

    name: str
    user: str
    is_running: bool
    started_tick: int
    load: float
    cpu_seconds_per_request: float
    blocks_rows: bool = False
    load_limit: float = NO_JOB_LIMIT

    @property
    def allowed_load(self) -> float:
        """Requests per second of the running job."""
        return self.load if self.load < self.load_limit else self.load_limit


@dataclass(slots=True)
class Statement:
    """A statement that one caller sends to a store, with the index that it uses.

    Attributes:
        user: the caller. share: of the caller's requests to the store, 0–1.
        index_built_tick: when the index and its statistics were last built.
        has_index: False after a migration has dropped it.
        cost_factor: database time of the statement to the usual one (effect).
        runs_factor: how often it runs, to the usual rate (effect).
    """

    name: str
    user: str
    share: float
    index: str
    index_built_tick: int
    has_index: bool = True
    cost_factor: float = 1.0
    runs_factor: float = 1.0


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

    def is_trusted(self, tick: int) -> bool:
        """Return whether clients accept it at a tick."""
        return self.issuer == USUAL_ISSUER and tick < self.expires_tick


@dataclass(slots=True)
class RecordSet:
    """Stored records of a service by layout and writer, such as cache entries or queue messages."""

    layout: str
    writer: str  # "service version"
    share: float  # of all records
