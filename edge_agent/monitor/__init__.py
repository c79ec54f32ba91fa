"""Health, alarms and presence."""
