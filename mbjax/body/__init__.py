"""SMPL-like bodies in numpy: reading, posing, fitting. May import pose."""
