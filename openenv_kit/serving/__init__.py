"""The server: HTTP, WebSocket and MCP routes over one episode store."""
