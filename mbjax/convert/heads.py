"""Nets with a head: their tables of names, sizes by tensors, and what the release saves them as.

To add a kind: its network in `models/networks.py`, an entry in HEADS here.
"""

import dataclasses
import fnmatch
from collections.abc import Callable, Mapping, Sequence

from mbjax.convert.names import Row, dstformer_rows, linear, under
from mbjax.models.action import ActionHeadConfig, EmbedHeadConfig
from mbjax.models.mesh import MeshHeadConfig, RefineHeadConfig
from mbjax.models.networks import Network

Shapes = Mapping[str, Sequence[int]]


@dataclasses.dataclass(frozen=True)
class SavedAs:
    """How the release's training scripts save a network.

    container: the key of the state dict. best: that of the best evaluation so far. told_by: the
    metrics of a run that state it (the release's min_loss is in mm). start: what the release starts
    from.
    """

    container: str
    best: str
    told_by: tuple[str, ...]
    start: float


@dataclasses.dataclass(frozen=True)
class HeadFormat:
    """rows: sizes of the head -> its table, without the beginning 'head.'. sizes: shapes of a
    file's tensors under 'head.', without it -> sizes of the head, or None where it is another
    kind's. saved_as: in PyTorch files. left_out: patterns of names under 'head.' that a
    file may have and that are not used.
    """

    rows: Callable[[object], list[Row]]
    sizes: Callable[[Shapes], object | None]
    saved_as: SavedAs
    left_out: tuple[str, ...] = ()


def batch_norm(torch: str, *path) -> list[Row]:
    return [
        Row(f"{torch}.weight", (*path, "scale")),
        Row(f"{torch}.bias", (*path, "bias")),
        Row(f"{torch}.running_mean", (*path, "mean"), item="other"),
        Row(f"{torch}.running_var", (*path, "var"), item="other"),
        Row(f"{torch}.num_batches_tracked", (*path, "batches"), item="other", counter=True),
    ]


def conv(torch: str, *path) -> list[Row]:
    """A Conv1d: torch keeps (out, in, taps)."""
    return [
        Row(f"{torch}.weight", (*path, "kernel"), axes=(2, 1, 0)),
        Row(f"{torch}.bias", (*path, "bias")),
    ]


def _action_rows(_head):
    return batch_norm("bn", "bn") + linear("fc1", "fc1") + linear("fc2", "fc2")


def _action_sizes(shapes: Shapes):
    if "bn.weight" in shapes and "fc2.weight" in shapes and len(shapes["fc2.weight"]) == 2:
        classes, hidden = shapes["fc2.weight"]
        return ActionHeadConfig(classes=classes, hidden=hidden)
    return None


def _embed_rows(_head):
    return linear("fc1", "fc1")


def _embed_sizes(shapes: Shapes):
    if set(shapes) <= {"fc1.weight", "fc1.bias"} and "fc1.weight" in shapes:
        return EmbedHeadConfig(hidden=shapes["fc1.weight"][0])
    return None


def _mesh_rows(_head):
    mean = [Row(name, (name,), item="other") for name in ("init_pose", "init_shape")]
    layers = linear("fc1", "fc1") + linear("fc2", "fc2")
    norms = batch_norm("bn1", "bn1") + batch_norm("bn2", "bn2")
    return (
        mean
        + layers
        + norms
        + linear("head_pose", "head_pose")
        + linear("head_shape", "head_shape")
    )


def _mesh_sizes(shapes: Shapes):
    if "head_shape.weight" in shapes and "fc1.weight" in shapes:
        return MeshHeadConfig(hidden=shapes["fc1.weight"][0])
    return None


def _refine_rows(_head):
    norms = batch_norm("bn1", "bn1") + batch_norm("bn2", "bn2")
    return linear("fc1", "fc1") + conv("fc2", "fc2") + norms + conv("head_pose", "head_pose")


def _refine_sizes(shapes: Shapes):
    if len(shapes.get("fc2.weight", ())) == 3 and len(shapes.get("head_pose.weight", ())) == 3:
        return RefineHeadConfig(hidden=shapes["fc2.weight"][0])
    return None


ENCODER_SAVED_AS = SavedAs("model_pos", "min_loss", ("mpjpe_mm", "mpjpe", "error_mm"), 100000)
_CLASSES = SavedAs("model", "best_acc", ("top_1",), 0)
_MESHES = SavedAs("model", "best_jpe", ("mpjpe",), 9999.0)

# The release's mesh nets keep the whole body model among their weights; it is read from its own
# files here (`convert.smpl_buffers` writes it).
HEADS: dict[str, HeadFormat] = {
    "action": HeadFormat(_action_rows, _action_sizes, _CLASSES),
    "embed": HeadFormat(_embed_rows, _embed_sizes, _CLASSES),
    "mesh": HeadFormat(_mesh_rows, _mesh_sizes, _MESHES, ("smpl.*",)),
    "mesh_refine": HeadFormat(
        _refine_rows, _refine_sizes, _MESHES, ("smpl.*", "init_pose", "init_shape")
    ),
}


def saved_as(kind: str) -> SavedAs:
    return ENCODER_SAVED_AS if kind == "dstformer" else HEADS[kind].saved_as


def network_rows(network: Network) -> list[Row]:
    """The table of a network, in torch's order."""
    rows = dstformer_rows(network.encoder)
    if network.kind == "dstformer":
        return rows
    # The pose head of an encoder below another head gets no gradient.
    rows = [dataclasses.replace(r, trained=r.path[0] != "head") for r in rows]
    return under("backbone", rows) + under("head", HEADS[network.kind].rows(network.head))


def left_out(network: Network, names) -> set[str]:
    """Those names of a file that its network has no use for."""
    if network.kind == "dstformer":
        return set()
    patterns = HEADS[network.kind].left_out
    return {n for n in names if any(fnmatch.fnmatchcase(n, f"head.{p}") for p in patterns)}
