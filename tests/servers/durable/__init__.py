"""The data stores on a disk whose power can be cut, with the durability settings of the platform.

Each store has one replica here. That is stricter than the platform: what survives on one disk survives the
power loss of all zones at once, because an acknowledged write is on at least one disk of each quorum.
"""
