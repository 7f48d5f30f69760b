"""Load on purpose, by an open loop: journeys, shapes, and what came of a run.

Locust changes the process that imports it, so only `loadtests.generator` does, in processes of its own. All
the rest is plain: `esq load` imports it, starts generators, and judges what they tell.
"""
