"""The generator: Locust's users and clients, called by a timetable. Runs in a process of its own."""
