"""Programs that run inside pods beside Alertmanager."""
