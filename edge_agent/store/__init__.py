"""What the agent knows, on disk."""
