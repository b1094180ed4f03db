"""The one training loop, its step, state, optimizer, checkpoints, work folder, preemption, log.

May import data, models, devices and what is below. Knows no task.
"""
