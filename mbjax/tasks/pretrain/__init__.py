"""Pretraining: 3D motion from corrupted 2D clips."""
