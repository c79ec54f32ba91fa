"""Commands of edge-agent, one module per group."""
