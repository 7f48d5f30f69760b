"""HTTP API of the whatsapp service."""
