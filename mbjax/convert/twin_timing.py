"""The PyTorch twin's forward pass and training step as functions that can be timed.

Apart from twin.py, which is for comparing numbers: here the twin runs as somebody who wants speed
would run it, on a GPU where there is one.

Shapes in names: B batch, T frames, J joints, C channels.
"""

import contextlib
from collections.abc import Callable

import torch

from mbjax.convert.twin import TwinAttention, TwinDSTformer, pretraining_loss

# How the twin runs: eagerly in float32; or compiled, in bfloat16, with torch's own attention.
MODES = ("eager float32", "compiled bfloat16 sdpa")


class TimedTwin:
    """forward() and step() each run to their end, the device's work included.

    config: a DSTformerConfig. state: its state dict as numpy arrays. mode: one of MODES. `device`
    is the name of what it runs on.
    """

    def __init__(self, config, state, x_BxTxJxC, target_BxTxJx3, mode: str, rate: float):
        where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.device = torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu"
        self._cuda = where.type == "cuda"
        twin = TwinDSTformer(config)
        twin.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
        twin = twin.to(where)
        self._x = torch.tensor(x_BxTxJxC, device=where)
        self._target = torch.tensor(target_BxTxJx3, device=where)
        self._precision: Callable = contextlib.nullcontext
        self._network = twin
        if mode != "eager float32":
            for module in twin.modules():
                if isinstance(module, TwinAttention):
                    module.sdpa = True
            self._network = torch.compile(twin)
            self._precision = lambda: torch.autocast(where.type, torch.bfloat16)
        self._optimizer = torch.optim.AdamW(twin.parameters(), lr=rate, weight_decay=0.01)

    def forward(self):
        with torch.no_grad(), self._precision():
            pose = self._network(self._x)
        self._wait()
        return pose

    def step(self):
        """Forward, loss, backward, AdamW; the loss."""
        self._optimizer.zero_grad()
        with self._precision():
            pose = self._network(self._x)
        loss, _ = pretraining_loss(pose.float(), self._target)
        loss.backward()
        self._optimizer.step()
        self._wait()
        return loss

    def pose(self):
        """The forward pass's result as a numpy array."""
        return self.forward().float().cpu().numpy()

    def _wait(self):
        if self._cuda:
            torch.cuda.synchronize()
