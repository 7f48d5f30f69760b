"""Shared library of all services: settings, logging, Postgres, Kafka, Redis, HTTP and the process runtime."""
