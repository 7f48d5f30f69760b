"""Load generator: Locust users started by an open-loop scheduler, in a process of its own."""
