"""Keypoints to 3D: whole recordings, streams, bodies.

May import all rooms up to motion and data.
"""
