"""Simulator of the WhatsApp Cloud API: receives messages, posts webhooks, keeps a ledger, injects faults."""
