"""Queues in Redis: in order, fair, bounded, and never the only place where a job is known.

`port.py` says what is promised, `engine.py` and `scripts/` keep it, `memory.py` is the fake of the same port,
`refill.py` brings back what Redis lost, `worker.py` runs jobs, `metrics.py` and `admin.py` show what goes on.
"""
