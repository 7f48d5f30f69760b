"""Audit of every SQL statement of the services on a generated data set."""
