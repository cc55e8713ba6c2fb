"""Tabs of the debugger."""
