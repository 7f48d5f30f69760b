"""Observability: JSON logs, traces, health checks and metrics of circuit breakers and bulkheads."""
