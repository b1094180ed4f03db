"""Pretraining: 3D motion from corrupted 2D clips."""

from mbjax.tasks.pretrain.evaluation import evaluate_checkpoint
from mbjax.tasks.pretrain.task import make_task

__all__ = ["evaluate_checkpoint", "make_task"]
