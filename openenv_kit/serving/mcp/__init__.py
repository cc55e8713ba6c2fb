"""MCP: HTTP and WebSocket routes, sessions and JSON-RPC dispatch."""
