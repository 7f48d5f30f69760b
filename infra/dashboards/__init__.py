"""Graphs of an environment's metrics: one table for the operations page and for Grafana."""
