"""A compiled model over any number of rows, in batches of one size.

N: rows, of whatever shape.
"""

import operator
from collections.abc import Callable

import jax
import numpy as np


def in_batches(forward: Callable, rows: np.ndarray, batch_size: int):
    """What `forward` gives for the rows of an array, as numpy arrays of N rows.

    forward: rows -> an array or a tree of arrays, one row for each; it sees batches of
    min(batch_size, N) rows alone, the last one filled up with zeros, so that it compiles once.
    """
    size, parts = min(batch_size, len(rows)), []
    for first in range(0, len(rows), size):
        batch = rows[first : first + size]
        padding = [(0, size - len(batch)), *[(0, 0)] * (batch.ndim - 1)]
        of_rows = slice(len(batch))
        outputs = jax.tree.map(np.asarray, forward(np.pad(batch, padding)))
        parts.append(jax.tree.map(operator.itemgetter(of_rows), outputs))
    return jax.tree.map(lambda *a: np.concatenate(a), *parts)
