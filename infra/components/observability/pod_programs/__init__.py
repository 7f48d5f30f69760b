"""Programs that run inside pods of the observability layer."""
