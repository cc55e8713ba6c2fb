"""The server: HTTP, WebSocket and MCP routes that share one episode store."""
