"""SMPL mesh recovery and refinement."""

from mbjax.tasks.mesh.evaluation import evaluate_checkpoint
from mbjax.tasks.mesh.task import make_task

__all__ = ["evaluate_checkpoint", "make_task"]
