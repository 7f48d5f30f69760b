"""Client traffic during a fault: open-loop writers and readers, each with its own client library.

It runs as a separate process (`python -m chaos.traffic`), so that the experiment does not delay it.
"""
