"""One folder per component of the platform: its typed inputs, and its resources on Kubernetes."""
