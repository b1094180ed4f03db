"""Whole experiments made of training runs: quickstart, ablations, cross-validation.

May import tasks.
"""
