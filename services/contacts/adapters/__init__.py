"""Adapters of the contacts service: Postgres."""
