"""Shared code of deterministic tool-use environments: sessions, server, agent, trainers, audits."""
