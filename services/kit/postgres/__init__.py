"""Postgres: connection pool, units of work, named queries, transactional outbox and inbox."""
