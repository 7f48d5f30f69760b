"""The images of the platform: put together here, pushed to a cluster's registry, known by digest.

An image's key is a hash of everything that goes into it. What has a digest under its key is not built
again; what the registry has is not pushed again.
"""

from infra.zones.images.images import Images

__all__ = ["Images"]
