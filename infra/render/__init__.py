"""Pure text: configuration files of what runs on Kubernetes. Snapshot tests show every change."""
