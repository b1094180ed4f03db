"""From what a pickle leaves to plain data: arrays for their stand-ins, and a limit to its size."""

import numpy as np

from mbjax.safe_pickle.arrays import Array

_DEEPEST = 20  # containers in one another; published files are three deep
# Bytes of a result, what is shared counted wherever it stands; and so many for each of the file.
_LARGEST, _PER_BYTE = 256 << 20, 16
_LEAVES = (str, bytes, int, float, bool, np.generic, type(None))


class Plain:
    """size: bytes of the file; classes: whose objects may be in the result."""

    def __init__(self, size: int, classes: tuple[type, ...] = ()):
        self._most = _LARGEST + _PER_BYTE * size
        self._classes = classes
        self._done = {}  # id: (what it was, what it became, its weight, its height)

    def of(self, value):
        """The value with arrays in place of stand-ins, lists and dicts changed in place."""
        return self._of(value, 0)[0]

    def _of(self, value, depth):
        """(plain value, bytes of it as if nothing were shared, containers in one another)."""
        if isinstance(value, _LEAVES):
            return value, 8 + (len(value) if isinstance(value, (str, bytes)) else 0), 0
        known = self._done.get(id(value))
        if known is None:
            if depth > _DEEPEST:
                raise ValueError("containers within containers without an end")
            self._done[id(value)] = (value, None, 0, _DEEPEST)  # until it is done
            known = self._done[id(value)] = (value, *self._made(value, depth))
        _, made, weight, height = known
        if depth + height > _DEEPEST:
            raise ValueError("containers within containers without an end")
        return made, weight, height

    def _made(self, value, depth):
        """(plain value, weight, height) of one container."""
        sums = [8, 0]
        if isinstance(value, (list, tuple, set, frozenset)):
            made = [self._part(item, depth, sums) for item in value]
            if isinstance(value, list):
                value[:] = made
            elif isinstance(value, tuple):
                value = tuple(made)
        elif isinstance(value, dict):
            for key in value:
                self._part(key, depth, sums)
                value[key] = self._part(value[key], depth, sums)
        elif isinstance(value, Array):
            value = value.value
            if value is None:
                raise ValueError("an array without content")
            sums[0] += value.nbytes
            if value.dtype == object:
                for place in np.ndindex(value.shape):
                    value[place] = self._part(value[place], depth, sums)
        elif isinstance(value, self._classes):
            attributes = vars(value)
            for name in attributes:
                attributes[name] = self._part(attributes[name], depth, sums)
        # An array here was a stand-in before: its container stands in the pickle more than once.
        elif not isinstance(value, np.ndarray):
            raise ValueError(f"found {type(value).__name__} instead of plain data")
        weight, height = sums
        if weight > self._most:
            raise ValueError("content that is repeated without an end")
        return value, weight, height + 1

    def _part(self, item, depth, sums):
        """The plain item; its weight and height go into its container's."""
        if type(item) is str:
            sums[0] += 8 + len(item)
            return item
        made, weight, height = self._of(item, depth + 1)
        sums[0] += weight
        sums[1] = max(sums[1], height)
        return made
