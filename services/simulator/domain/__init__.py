"""Pure rules of the simulator: requests, responses, statuses and faults."""
