"""Adapters of the campaigns service: Postgres and the contacts service's HTTP API."""
