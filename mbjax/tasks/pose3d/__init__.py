"""Fine-tuning for 3D pose and its evaluation (Human3.6M)."""
