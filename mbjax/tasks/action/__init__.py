"""Action recognition, from training to prediction along a recording."""

from mbjax.tasks.action.evaluation import evaluate_checkpoint
from mbjax.tasks.action.task import make_task

__all__ = ["evaluate_checkpoint", "make_task"]
