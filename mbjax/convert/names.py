"""The one table between PyTorch's names and the parameter tree here, for both directions.

Rows stand in the order in which torch numbers `model.parameters()`, which is how optimizer state
names its entries. A network with a head adds rows after those of `under("backbone", ...)`.

Array layouts: torch keeps a Linear's weight as (out, in), here kernels are (in, out).
"""

import dataclasses
import fnmatch
import re
from collections.abc import Iterable

import numpy as np

from mbjax.models.dstformer import DSTformerConfig

DATA_PARALLEL = "module."


@dataclasses.dataclass(frozen=True)
class Row:
    """One tensor: its name in torch, its path here, and the order of axes between the two.

    axes: the torch tensor's axes in the order they have here; () for the same array. item:
    'params', or 'other' for statistics such as BatchNorm's. trained: whether a gradient reaches
    it; torch's optimizer keeps no state for a parameter that none reaches. counter: an integer.
    """

    torch: str
    path: tuple[str | int, ...]
    axes: tuple[int, ...] = ()
    item: str = "params"
    trained: bool = True
    counter: bool = False

    def here(self, array: np.ndarray) -> np.ndarray:
        """A tensor as torch has it -> as this package has it."""
        if self.counter:
            return array.astype(np.int32)
        return np.ascontiguousarray(array.transpose(self.axes)) if self.axes else array

    def there(self, array: np.ndarray) -> np.ndarray:
        """The inverse of `here`."""
        if self.counter:
            return array.astype(np.int64)
        return np.ascontiguousarray(array.transpose(np.argsort(self.axes))) if self.axes else array


def linear(torch: str, *path) -> list[Row]:
    return [
        Row(f"{torch}.weight", (*path, "kernel"), axes=(1, 0)),
        Row(f"{torch}.bias", (*path, "bias")),
    ]


def layer_norm(torch: str, *path) -> list[Row]:
    return [Row(f"{torch}.weight", (*path, "scale")), Row(f"{torch}.bias", (*path, "bias"))]


# A block's parts in torch's order of registration (an attention's proj comes before its qkv), with
# the structures that lack them.
_BLOCK = (
    (layer_norm, "norm1_s", "s"), (layer_norm, "norm1_t", "t"),
    (linear, "attn_s.proj", "s"), (linear, "attn_s.qkv", "s"),
    (linear, "attn_t.proj", "t"), (linear, "attn_t.qkv", "t"),
    (layer_norm, "norm2_s", "mlp_s"), (layer_norm, "norm2_t", "mlp_t"),
    (linear, "mlp_s.fc1", "mlp_s"), (linear, "mlp_s.fc2", "mlp_s"),
    (linear, "mlp_t.fc1", "mlp_t"), (linear, "mlp_t.fc2", "mlp_t"),
)  # fmt: skip
_PARTS = {
    "st": ("s", "t", "mlp_s", "mlp_t"),
    "ts": ("s", "t", "mlp_s", "mlp_t"),
    "s": ("s", "mlp_s"),
    "t": ("t", "mlp_t"),
    "st-attention": ("s", "t", "mlp_t"),
}


def dstformer_rows(config: DSTformerConfig) -> list[Row]:
    """The table of the encoder with its pose head."""
    rows = [Row("temp_embed", ("temp_embed",)), Row("pos_embed", ("pos_embed",))]
    rows += linear("joints_embed", "joints_embed")
    for stream, order in zip(("blocks_st", "blocks_ts"), config.streams, strict=False):
        for level in range(config.depth):
            for make, name, part in _BLOCK:
                if part in _PARTS[order]:
                    rows += make(f"{stream}.{level}.{name}", stream, level, *name.split("."))
    rows += layer_norm("norm", "norm")
    rows += linear("pre_logits.fc", "pre_logits", "fc")
    rows += linear("head", "head")
    if len(config.streams) == 2 and config.fusion == "adaptive":
        for level in range(config.depth):
            rows += linear(f"ts_attn.{level}", "ts_attn", level)
    return rows


def under(name: str, rows: Iterable[Row]) -> list[Row]:
    """The rows of a network that is the part `name` of a bigger one."""
    return [
        dataclasses.replace(row, torch=f"{name}.{row.torch}", path=(name, *row.path))
        for row in rows
    ]


# MMPose calls the same network's parts by other names (its fc1 and fc2 are the entries 0 and 2 of a
# Sequential). Only on import.
_MMPOSE = (
    (r"^backbone\.spat_embed$", "pos_embed"),
    (r"^backbone\.attn_regress\.", "ts_attn."),
    (r"^(backbone\..*\.mlp_[st])\.0\.", r"\1.fc1."),
    (r"^(backbone\..*\.mlp_[st])\.2\.", r"\1.fc2."),
    (r"^backbone\.", ""),
    (r"^head\.pre_logits\.", "pre_logits."),
    (r"^head\.fc\.", "head."),
)


def normalised(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """({name in the file: name in the table}, notes): no DataParallel prefix, no names of MMPose.

    ValueError where two names of the file would be one.
    """
    names, notes = list(names), []
    prefixed = [name for name in names if name.startswith(DATA_PARALLEL)]
    if prefixed and len(prefixed) < len(names):
        notes.append(
            f"{len(prefixed)} of {len(names)} names begin with '{DATA_PARALLEL}', the others do "
            "not; taken as the same network"
        )
    result = {name: name.removeprefix(DATA_PARALLEL) for name in names}
    if "backbone.spat_embed" in result.values():
        notes.append("MMPose's names")
        for name, plain in result.items():
            for pattern, replacement in _MMPOSE:
                plain = re.sub(pattern, replacement, plain)
            result[name] = plain
    if len(set(result.values())) < len(result):
        seen: dict = {}
        for name, plain in result.items():
            seen.setdefault(plain, []).append(name)
        twice = next(both for both in seen.values() if len(both) > 1)
        raise ValueError(f"{' and '.join(twice)} are one parameter, but the file has both")
    return result, notes


def is_allowed(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name matches one of the shell patterns of --allow ('head.*')."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
