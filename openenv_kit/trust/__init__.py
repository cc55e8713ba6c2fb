"""Certificates, exploit audits and attestations: evidence that a score can be trusted."""
