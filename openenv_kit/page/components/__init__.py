"""HTML components of the debugger."""
