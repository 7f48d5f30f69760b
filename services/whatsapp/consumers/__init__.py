"""Kafka consumers of the whatsapp service."""
