"""3D motion and its files: npz, CSV, TRC, BVH both ways, glTF. May import pose and body."""
