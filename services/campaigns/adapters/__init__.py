"""The outside world of the service."""
