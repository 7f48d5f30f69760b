"""Baseline: what CPU, memory and I/O the processes of the services cost, compared with the last baseline."""
