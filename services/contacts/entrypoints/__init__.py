"""Processes of the service."""
