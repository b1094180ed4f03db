"""One-shot action recognition by a metric embedding."""

from mbjax.tasks.oneshot.evaluation import evaluate_checkpoint
from mbjax.tasks.oneshot.task import make_task

__all__ = ["evaluate_checkpoint", "make_task"]
