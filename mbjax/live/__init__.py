"""A camera's persons in 3D while they move, shown in the browser of this machine."""
