"""Fine-tuning for 3D pose and its evaluation (Human3.6M)."""

from mbjax.tasks.pose3d.evaluation import evaluate_checkpoint
from mbjax.tasks.pose3d.task import make_task

__all__ = ["evaluate_checkpoint", "make_task"]
