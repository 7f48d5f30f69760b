"""Open loop on Locust's own engine: what the locustfiles in `loadtests/` share.

`open_loop` has the mixin of users and the scheduler of one worker, `run_control` the master's side of a run.
"""
