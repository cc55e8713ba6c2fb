"""MCP: routes and JSON-RPC dispatch."""
