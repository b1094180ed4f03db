"""The processes and chips of a run: which process this is, the mesh, shardings, the table of chips.

Imports no other room.
"""
