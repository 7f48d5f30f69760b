"""Contracts of services and toolkit: event schemas, topics, endpoints, SLOs. No I/O; the lowest layer."""
