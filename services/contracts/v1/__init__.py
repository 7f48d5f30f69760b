"""Generated from events.proto by `./esq generate`; do not edit."""
