"""Incidents: causes, what else goes on, the named tasks and the generated ones."""
