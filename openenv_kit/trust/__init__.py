"""Certificates, exploit audits and attestations, which show that scores can be trusted."""
