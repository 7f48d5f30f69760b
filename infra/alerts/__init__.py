"""Alerts: one table, from which rules, routes, runbooks and tests are made."""
