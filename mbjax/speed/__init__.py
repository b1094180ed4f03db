"""How fast and how large: benchmarks, steps compiled for pods, the compiler's text read.

May import tasks.
"""
