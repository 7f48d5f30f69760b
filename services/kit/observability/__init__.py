"""Observability: JSON logs, trace context, health checks and metrics of circuit breakers and bulkheads."""
