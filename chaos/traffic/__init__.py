"""Traffic during a fault, as clients see it: writers and readers on a timetable, each through its own client.

Runs as a process of its own (`python -m chaos.traffic`), so that nothing the experiment does delays it.
"""
