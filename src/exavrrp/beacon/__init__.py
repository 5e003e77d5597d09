"""The beacon: once a second each node tells its peers how its virtual routers are, a Backup, too; pure.

``codec`` has the bytes, ``table`` what the peers have told, ``station`` what is sent and heard. An election knows
nothing of it: none of its modules can import this package, and no event of a node comes from here.
"""
