"""Open-loop load tests: scenarios, load profiles and results.

Locust monkey-patches the process that imports it, so only `loadtests.generator` imports it, in processes of
its own. The other modules are plain Python: `esq load` imports them, starts the generators and evaluates
their results.
"""
