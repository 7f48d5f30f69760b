"""Configuration files of the software on Kubernetes, as pure text. Snapshot tests show every change."""
