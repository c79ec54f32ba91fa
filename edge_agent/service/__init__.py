"""The agent as a service of the system: what it tells the service manager, and how it is installed."""
