"""'500 steps', '1 epoch', '5 %': how often something is due in a run."""

import re

import numpy as np

_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(steps?|epochs?|%)")


class Every:
    """Due after every so many steps, epochs or per cent of the run; '' or '0 steps' is never.

    epoch_starts: first step of each epoch. ValueError on another form.
    """

    def __init__(self, text: str, total_steps: int, epoch_starts: np.ndarray):
        match = _FORM.fullmatch(text.strip()) if text.strip() else None
        if text.strip() and not match:
            raise ValueError(f"duration {text!r}: write it as '500 steps', '1 epoch' or '5 %'")
        number, unit = (float(match[1]), match[2]) if match else (0.0, "steps")
        if unit.startswith("epoch"):
            ends = np.append(epoch_starts[1:], total_steps)
            whole = max(1, round(number))
            self._due = set(ends[whole - 1 :: whole].tolist()) if number else set()
            self._period = 0
        else:
            share = total_steps / 100 if unit == "%" else 1
            self._due, self._period = set(), max(1, round(number * share)) if number else 0

    def due(self, steps_done: int) -> bool:
        return steps_done in self._due or bool(self._period and steps_done % self._period == 0)
