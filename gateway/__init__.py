"""The edge for other languages and agents: HTTP, WebSocket, MCP."""
