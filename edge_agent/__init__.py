"""The agent: the only package that knows all others."""
