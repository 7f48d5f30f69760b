"""A WhatsApp honest about what it received: Cloud API face, callbacks, faults, ledger. Never in prod."""
