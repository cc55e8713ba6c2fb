"""The drill-down's part of the debugger at /web; imported only where the web interface is on."""
