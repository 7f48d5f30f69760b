"""Pulumi programs, one per layer."""
