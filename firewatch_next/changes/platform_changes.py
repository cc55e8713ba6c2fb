"""Builds changes of the platform: certificates."""

from __future__ import annotations

from firewatch_next.changes.change import Change, ChangeKind
from firewatch_next.changes.make_change import ChangeTexts
from firewatch_next.simulation.repair_edits import SetCertificate
from firewatch_next.simulation.things import Certificate


def certificate_change(
    texts: ChangeTexts, tick: int, service: str, before: Certificate, after: Certificate
) -> Change:
    """Return a change of the certificate that a service shows to its callers."""
    return Change(
        texts.id, tick, service, ChangeKind.CERTIFICATE, texts.title, texts.details, texts.author,
        before.issuer, after.issuer, key=before.name,
        edits=(SetCertificate(service, after.issuer, after.expires_tick),),
        undo_edits=(SetCertificate(service, before.issuer, before.expires_tick),),
    )  # fmt: skip
