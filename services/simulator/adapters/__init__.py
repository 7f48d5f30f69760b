"""Adapters of the simulator: Postgres and the HTTP client of webhooks."""
