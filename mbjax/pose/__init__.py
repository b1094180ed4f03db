"""The 17 joints: skeleton, rotations, normalising, losses, metrics. Imports no other room."""
