"""Evidence that scores can be trusted: certificates, exploit audits and attestations."""
