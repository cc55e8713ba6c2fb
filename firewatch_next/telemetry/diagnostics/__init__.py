"""Diagnostics of one service, one file per kind."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from firewatch_next.simulation.service import Service, ServiceKind
from firewatch_next.telemetry.diagnostics.cache import show_cache
from firewatch_next.telemetry.diagnostics.certificates import show_certificates
from firewatch_next.telemetry.diagnostics.clock import show_clock
from firewatch_next.telemetry.diagnostics.connections import show_connections
from firewatch_next.telemetry.diagnostics.consensus import show_consensus
from firewatch_next.telemetry.diagnostics.cpu_profile import show_cpu_profile
from firewatch_next.telemetry.diagnostics.disk import show_disk
from firewatch_next.telemetry.diagnostics.dns import show_dns
from firewatch_next.telemetry.diagnostics.flags import show_flags
from firewatch_next.telemetry.diagnostics.heap import show_heap
from firewatch_next.telemetry.diagnostics.kube_events import show_kube_events
from firewatch_next.telemetry.diagnostics.locks import show_locks
from firewatch_next.telemetry.diagnostics.network_policy import show_network_policy
from firewatch_next.telemetry.diagnostics.queue import show_queue
from firewatch_next.telemetry.diagnostics.quota import show_quota
from firewatch_next.telemetry.diagnostics.records import show_records
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.diagnostics.settings import show_settings
from firewatch_next.telemetry.diagnostics.slow_queries import show_slow_queries
from firewatch_next.telemetry.diagnostics.syscalls import show_syscalls
from firewatch_next.telemetry.diagnostics.threads import show_threads
from firewatch_next.telemetry.view import TelemetryView


class DiagnosticKind(StrEnum):
    """Kind of a diagnostic."""

    SETTINGS = "settings"
    FLAGS = "flags"
    RECORDS = "records"
    THREADS = "threads"
    HEAP = "heap"
    CPU_PROFILE = "cpu_profile"
    SYSCALLS = "syscalls"
    CONNECTIONS = "connections"
    SLOW_QUERIES = "slow_queries"
    LOCKS = "locks"
    QUEUE = "queue"
    CACHE = "cache"
    DNS = "dns"
    CERTIFICATES = "certificates"
    CLOCK = "clock"
    DISK = "disk"
    KUBE_EVENTS = "kube_events"
    NETWORK_POLICY = "network_policy"
    QUOTA = "quota"
    CONSENSUS = "consensus"


DIAGNOSTICS: dict[DiagnosticKind, Callable[[TelemetryView, Service], Report]] = {
    DiagnosticKind.SETTINGS: show_settings,
    DiagnosticKind.FLAGS: show_flags,
    DiagnosticKind.RECORDS: show_records,
    DiagnosticKind.THREADS: show_threads,
    DiagnosticKind.HEAP: show_heap,
    DiagnosticKind.CPU_PROFILE: show_cpu_profile,
    DiagnosticKind.SYSCALLS: show_syscalls,
    DiagnosticKind.CONNECTIONS: show_connections,
    DiagnosticKind.SLOW_QUERIES: show_slow_queries,
    DiagnosticKind.LOCKS: show_locks,
    DiagnosticKind.QUEUE: show_queue,
    DiagnosticKind.CACHE: show_cache,
    DiagnosticKind.DNS: show_dns,
    DiagnosticKind.CERTIFICATES: show_certificates,
    DiagnosticKind.CLOCK: show_clock,
    DiagnosticKind.DISK: show_disk,
    DiagnosticKind.KUBE_EVENTS: show_kube_events,
    DiagnosticKind.NETWORK_POLICY: show_network_policy,
    DiagnosticKind.QUOTA: show_quota,
    DiagnosticKind.CONSENSUS: show_consensus,
}
_OF_THIRD_PARTIES = frozenset(
    {DiagnosticKind.CERTIFICATES, DiagnosticKind.NETWORK_POLICY, DiagnosticKind.QUOTA}
)


def run_diagnostic(view: TelemetryView, service: str, kind: DiagnosticKind) -> str:
    """Return the reply of a diagnostic. Of a third party, only its outside can be seen."""
    found = view.service(service)
    subject = f"{service} {kind} {view.clock(view.tick)}"
    if found.kind is ServiceKind.THIRD_PARTY and kind not in _OF_THIRD_PARTIES:
        report = Report("not available, it runs outside the system; ask its callers")
    else:
        report = DIAGNOSTICS[kind](view, found)
    return report.format_text(subject, view.max_characters)
