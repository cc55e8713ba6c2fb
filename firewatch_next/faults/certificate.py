"""A certificate that has expired, or that a certificate authority signed whom callers distrust."""

from __future__ import annotations

from dataclasses import dataclass, replace

from firewatch_next.changes.change import Change, ChangeKind
from firewatch_next.faults.evidence import Hypothesis, ParsedReply, Question, Suspect, Verdict
from firewatch_next.faults.fault_type import (
    EvidenceCheck,
    FaultType,
    LogEvent,
    LogLevel,
    Origin,
    Phrasings,
    Place,
    Severity,
    Thing,
    levels,
)
from firewatch_next.faults.infrastructure_repairs import RENEW_CERTIFICATE
from firewatch_next.faults.places import listed_changes
from firewatch_next.faults.questions import ask_diagnostic, suspect_at
from firewatch_next.faults.repairs import UNDO_CHANGE
from firewatch_next.simulation.connections import update_old_connections
from firewatch_next.simulation.repair_edits import SetCertificate
from firewatch_next.simulation.service import SECONDS_PER_TICK, ErrorReason, Service, ServiceKind
from firewatch_next.simulation.things import USUAL_ISSUER
from firewatch_next.simulation.world import World
from openenv_kit.tool import ToolCall

NEW_ISSUER = "internal-ca-2"
# Ticks in which the connections of a caller are renewed.
SLOWEST_RENEWAL_TICKS, FASTEST_RENEWAL_TICKS = 120.0, 14.0
_FIELDS = ("callee", "name")

HANDSHAKE_FAILED = LogEvent(
    "certificate.handshake_failed",
    LogLevel.ERROR,
    _FIELDS,
    {
        "nginx": Phrasings(
            ('upstream SSL certificate verify error: (X509 verification failed) "{name}" while '
             "SSL handshaking to upstream {callee}",
             "SSL_do_handshake() failed while SSL handshaking to upstream {callee}, peer {name}"),
            'peer "{name}" not accepted by verification, upstream {callee}',
            "verification of upstream {callee} ended the TLS session, subject {name}",
        ),
        "java_spring": Phrasings(
            ("javax.net.ssl.SSLHandshakeException: PKIX path validation failed for {name} "
             "({callee})",
             "I/O error on request to {callee}: sun.security.validator.ValidatorException, "
             "subject CN={name}"),
            "CertPathValidatorException during handshake with {callee}, host {name}",
            "TLS alert certificate_unknown sent to {callee} [{name}]",
        ),
        "go_logfmt": Phrasings(
            ('err="tls: failed to verify certificate: x509: certificate is not valid" '
             "host={name} callee={callee}",
             'msg="remote error: tls: bad certificate" upstream={callee} server_name={name}'),
            'upstream={callee} err="x509: cannot validate chain of {name}" msg="dial failed"',
            "event=handshake_abort peer={name} target={callee}",
        ),
        "any": Phrasings(
            ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {name} ({callee})",
             "TLS handshake with {callee} failed, server name {name}"),
            "cannot verify the peer {name} of {callee}, connection closed",
            "secure channel to {callee} refused: chain of {name} not accepted",
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class CertificateFault:
    """A certificate that new connections do not accept.

    Connections that are open go on. `apply` reads whether the service still shows it.

    Attributes:
        renewal_ticks: ticks until a caller's last connection from before has ended.
    """

    place: Place
    start_tick: int
    change: Change | None
    renewal_ticks: float

    def apply(self, world: World, tick: int) -> None:
        service = world.services[self.place.service]
        certificate = service.certificate
        is_trusted = certificate is None or certificate.is_trusted(tick)
        for client in world.incoming[service.name]:
            if is_trusted:
                client.old_connections_share = 1.0
                continue
            caller = world.services[client.caller]
            update_old_connections(caller, client, self.start_tick, tick, self.renewal_ticks)
            failing = 1.0 - client.old_connections_share
            world.mark_affected(caller)
            client.add_errors(ErrorReason.TLS, failing)
            count = client.offered * failing * SECONDS_PER_TICK
            fields = {"callee": service.name, "name": self.place.name}
            world.emit_log(caller, HANDSHAKE_FAILED, count, fields)
            world.emit_log(service, HANDSHAKE_REJECTED, count, {"peer": caller.name})


HANDSHAKE_REJECTED = LogEvent(
    "certificate.handshake_rejected",
    LogLevel.WARN,
    ("peer",),
    {
        "java_spring": Phrasings(
            ("SSLHandshakeException: Received fatal alert from {peer}",
             "Connection of {peer} closed before the handshake ended"),
            "Remote side {peer} ended the TLS negotiation",
            "TLS session with {peer} not established",
        ),
        "go_logfmt": Phrasings(
            ('msg="http: TLS handshake error" peer={peer} err="remote error"',
             'peer={peer} msg="tls session not established"'),
            'client={peer} err="handshake ended by peer"',
            "event=tls_aborted_by_client source={peer}",
        ),
        "postgres": Phrasings(
            ("could not accept SSL connection: tlsv1 alert, client {peer}",
             "SSL error from {peer}: sslv3 alert received"),
            "{peer}: client ended SSL negotiation",
            "SSL session with {peer} not completed",
        ),
        "any": Phrasings(
            ("TLS handshake with {peer} not completed: alert received",
             "{peer} closed the connection during the handshake"),
            "alert from {peer} while negotiating TLS",
            "client {peer} aborted the secure session",
        ),
    },
)  # fmt: skip


def _has_certificate(world: World, service: Service) -> bool:
    kinds = (ServiceKind.APPLICATION, ServiceKind.STORE, ServiceKind.CACHE)
    return service.kind in kinds and bool(world.incoming[service.name])


def find_places(world: World) -> list[Place]:
    """Return certificates that may expire, and listed renewals with another authority."""
    places = []
    for change in listed_changes(world, ChangeKind.CERTIFICATE):
        if _has_certificate(world, world.services[change.service]):
            origin = Origin.CHANGE_ELSEWHERE
            places.append(Place(change.service, Thing.CERTIFICATE, change.key, origin, change))
    changed = {place.service for place in places}
    for service in world.ordered:
        certificate = service.certificate
        if certificate and service.name not in changed and _has_certificate(world, service):
            name = certificate.name
            places.append(Place(service.name, Thing.CERTIFICATE, name, Origin.UNLISTED))
    return places


def start(world: World, place: Place, severity: Severity) -> CertificateFault:
    """Return a fault that reaches every connection after 120 (size 0) to 14 (size 1) ticks."""
    ticks = SLOWEST_RENEWAL_TICKS
    ticks -= (SLOWEST_RENEWAL_TICKS - FASTEST_RENEWAL_TICKS) * severity.size
    service = world.services[place.service]
    if place.change is None:
        edit = SetCertificate(service.name, USUAL_ISSUER, severity.start_tick)
        edit.apply(world, world.tick)
        return CertificateFault(place, severity.start_tick, None, ticks)
    change = _with_new_issuer(place.change)
    return CertificateFault(place, change.tick, change, ticks)


def _with_new_issuer(change: Change) -> Change:
    """Let the change's certificate come from an authority that callers do not know yet."""
    edits = tuple(
        replace(edit, issuer=NEW_ISSUER) if isinstance(edit, SetCertificate) else edit
        for edit in change.edits
    )
    return replace(change, after=NEW_ISSUER, edits=edits)


def _questions(suspect: Suspect) -> tuple[Question, ...]:
    return (ask_diagnostic(suspect.service, "certificates"),)


def _judge(suspect: Suspect, replies: tuple[ParsedReply, ...]) -> Verdict | None:
    """Fit if handshakes with a service fail: renew that service's certificate."""
    worst, share = "", 0.01
    for row in replies[0].rows:
        failed = float(row.get("tls_failed_ratio", 0.0))
        if failed > share:
            worst, share = str(row["callee"]), failed
    if not worst:
        return None
    return Verdict(share, (ToolCall("renew", {"service": worst, "what": "certificate"}),))


def _question_handshakes(place: Place) -> Question:
    return _questions(suspect_at(place))[0]


def _measure_handshakes(reply: ParsedReply, place: Place) -> float:
    """Return the largest share of handshakes with the service that fails."""
    shares = [
        float(row["tls_failed_ratio"])
        for row in reply.rows
        if row.get("callee") == place.service and "tls_failed_ratio" in row
    ]
    return max(shares, default=0.0)


FAULT_TYPE = FaultType(
    name="certificate",
    levels=levels("emh"),
    origins={Origin.CHANGE_ELSEWHERE: 0.5, Origin.UNLISTED: 0.5},
    find_places=find_places,
    start=start,
    has_smooth_severity=True,
    log_events=(HANDSHAKE_FAILED, HANDSHAKE_REJECTED),
    repairs=((RENEW_CERTIFICATE,), (UNDO_CHANGE,)),
    mitigations=(),
    decisive=(
        EvidenceCheck(
            "handshakes fail", _question_handshakes, _measure_handshakes, 0.01,
            ("wrong_endpoint", "zone_failure", "pods_not_ready"),
        ),
    ),
    hypothesis=Hypothesis(_questions, _judge),
)  # fmt: skip
