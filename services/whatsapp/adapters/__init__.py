"""Adapters of the whatsapp service: Postgres, the Cloud API and the Redis queue."""
