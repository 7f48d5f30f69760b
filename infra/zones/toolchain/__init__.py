"""The tools that the platform is made of, each from PATH when it fits, else built from pinned and verified sources."""

from infra.zones.toolchain.toolchain import Toolchain, ToolStatus

__all__ = ["ToolStatus", "Toolchain"]
