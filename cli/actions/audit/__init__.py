"""Audits: the statements of the services, the dependencies, and the baseline of CPU and memory."""
