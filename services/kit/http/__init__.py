"""HTTP: application factory, outgoing client and bearer-token authentication."""
