"""HTTP API of the simulator: the Cloud API, and routes for tests and operators."""
