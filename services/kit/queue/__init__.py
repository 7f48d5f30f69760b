"""Job queues in Redis: ordered, fair between tenants, bounded. Redis is not the store of record.

`ports.py` defines the contract. `redis_queue.py` with the Lua scripts in `scripts/` implements it, and
`fakes.py` contains an in-memory fake of the same port. `metrics.py` exports Prometheus metrics, and
`admin.py` provides the HTTP routes for operators.
"""
