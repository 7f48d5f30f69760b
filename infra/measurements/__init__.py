"""SLO measurements: records, their evaluation, polling, and reports on disk."""
