"""Backups: taken beside the running agent or without one, checked, and put back."""
