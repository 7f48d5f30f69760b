"""Postgres: connection pool, transactions, named queries, transactional outbox and inbox."""
