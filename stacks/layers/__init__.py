"""The Pulumi program of each layer.

They are in a package because Pulumi's language host for Python puts `stacks/` on `sys.path`: a module
`stacks/services.py` would shadow the package `services`.
"""
