"""The images of the platform: built here, pushed to a cluster's registry, referenced by digest.

The key of an image is a hash of its content and of the versions of its Debian packages. An image with a
recorded digest is not built again; an image that the registry has is not pushed again.
"""

from infra.zones.images.images import Images

__all__ = ["Images"]
