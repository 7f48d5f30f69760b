"""Kafka event handlers of the campaigns service."""
