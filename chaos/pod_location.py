"""A pod and its location: what the builders of faults need to know about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PodLocation:
    """A pod and its location.

    Attributes:
        namespace: Kubernetes namespace.
        pod: name of the pod.
        zone: zone of its node; None if it has no node.
        node: name of its node; empty if it has none.
        uid: `metadata.uid` of the pod.
        containers: id by name of its running containers, e.g. `containerd://0123abcd`.
        images: image by name of its containers.
    """

    namespace: str
    pod: str
    zone: str | None
    node: str
    uid: str
    containers: dict[str, str]
    images: dict[str, str]

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.pod}"

    def main_container(self, container: str = "") -> str:
        """Return the name of a running container: by default the one named like its workload, or the first.

        Args:
            container: name of a container.

        Raises:
            ValueError: it does not run.
        """
        names = list(self.containers)
        default = next((name for name in names if self.pod.startswith(name)), names[0] if names else "")
        name = container or default
        if not self.containers.get(name):
            raise ValueError(
                f"expected a running container {name} in {self}, found {', '.join(names) or 'none'}"
            )
        return name
