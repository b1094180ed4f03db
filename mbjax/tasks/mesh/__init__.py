"""SMPL mesh recovery and refinement."""
