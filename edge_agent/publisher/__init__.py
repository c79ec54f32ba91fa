"""Outbox to broker to filed."""
