"""Anything that holds weights, read into one form: our checkpoints, PyTorch files, safetensors."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence

import absl.logging
import numpy as np

from mbjax.convert import (
    heads,
    names,
    optimizer_state,
    params,
    recognise,
    records,
    safetensors_io,
    torch_io,
)
from mbjax.convert.array_types import WeightFile
from mbjax.convert.optimizer_state import Adam
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network
from mbjax.models.trained_on import TrainedOn
from mbjax.remarks import first_line
from mbjax.storage import hub
from mbjax.storage.places import in_bucket
from mbjax.training import checkpoint, fetched

# What the release's training scripts save beside tensors.
_FIELDS = ("epoch", "lr", "min_loss", "best_acc", "best_jpe")

_TINY = pathlib.Path(__file__).parents[1] / "weights" / "tiny.safetensors"


@dataclasses.dataclass
class Source:
    """A network's weights and what is known about them.

    where: what was read. meta: as in a checkpoint's meta item. params: nested dict, numpy float32.
    adam: the optimizer's state, or None. notes: what a user should know, one line each. other:
    BatchNorm's statistics.
    """

    where: str
    meta: dict
    params: dict
    adam: Adam | None
    notes: list[str]
    other: dict = dataclasses.field(default_factory=dict)

    @property
    def network(self) -> Network:
        return Network.from_meta(self.meta["network"])

    @property
    def trained_on(self) -> TrainedOn | None:
        """The clips that it was trained on, where that is recorded."""
        return TrainedOn.from_meta(self.meta["network"])

    @property
    def config(self) -> DSTformerConfig:
        """The encoder's sizes."""
        return self.network.encoder

    @property
    def states_heads(self) -> bool:
        """Whether the number of heads is known from the file, and not assumed."""
        return not any(note.startswith(recognise.HEADS_ASSUMED) for note in self.notes)

    def __str__(self):
        network = self.network
        text = f"{self.where}: {params.describe(network.encoder)}"
        if network.head is not None:
            sizes = ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(network.head).items())
            text += f"; head: {network.kind}, {sizes}"
        if self.trained_on:
            text += f"; trained on {self.trained_on}"
        return "; ".join([text, *self.notes])


def read(
    path: str | os.PathLike,
    num_heads: int | None = None,
    which: str = "latest",
    allow: Sequence[str] = (),
    backbone_only: bool = False,
    optimizer: bool = False,
) -> Source:
    """Weights from a work folder, a checkpoint's folder, a .bin, .pth, .pt or .safetensors file,
    'hf://owner/name[@revision][/file]', or 'tiny', the small model in the package. Runs and files
    in a bucket by gs:// or s3://.

    num_heads: for files that do not state it, 8 by default; ValueError where they state another.
    which: 'latest' or a step, in a work folder. allow: patterns of names that may be missing or
    left over. backbone_only: the encoder of a net with a head. optimizer: whether to read its state
    too.
    ValueError, FileNotFoundError or ImportError, in one line.
    """
    path = str(path)
    if path == "tiny":
        if not _TINY.is_file():
            raise FileNotFoundError("the weights named 'tiny' are not in this installation")
        path = str(_TINY)
    elif hub.is_hub(path):
        pulled = hub.pull(path)
        source = read(pulled.path, num_heads, which, allow, backbone_only, optimizer)
        notes = [*source.notes, *pulled.notes]
        return dataclasses.replace(source, where=pulled.where, notes=notes)
    elif in_bucket(path):
        local = fetched.fetch(path, which)
        source = read(local, num_heads, which, allow, backbone_only, optimizer)
        return dataclasses.replace(source, where=source.where.replace(local, path))
    if which != "latest" and (_is_file(path) or path.endswith(".safetensors")):
        raise ValueError(f"{path} is one file of weights; step {which} is one of a work folder's")
    if path.endswith(".safetensors"):
        file = safetensors_io.read(path)
    elif _is_file(path):
        _not_a_config(path)
        file = torch_io.read(path)
    elif pathlib.Path(path).suffix in (".bin", ".pth", ".pt"):
        raise FileNotFoundError(f"no such file: {path}")
    else:
        return _from_orbax(path, num_heads, which, backbone_only, optimizer)
    try:
        return _from_file(file, path, num_heads, allow, backbone_only, optimizer)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _is_file(path):
    return "://" not in path and pathlib.Path(path).expanduser().is_file()


def _not_a_config(path):
    if pathlib.Path(path).suffix in (".json", ".py", ".yaml", ".npz", ".pkl"):
        raise ValueError(
            f"{path} is no file of weights; give a work folder, or a .bin, .pth, .pt or "
            ".safetensors file"
        )


# --- our own checkpoints ----------------------------------------------------------------------


def _from_orbax(path, num_heads, which, backbone_only, optimizer):
    folder = checkpoint.find(path, which)
    items = ("params", "other", "opt_state") if optimizer else ("params", "other")
    try:
        with without_warnings():
            meta, arrays = checkpoint.read(folder, items)
        described = dict(meta["network"])
        kind = described["kind"]
    except Exception as error:  # noqa: BLE001  whatever a damaged folder makes Orbax raise
        line = first_line(error, 160)
        raise ValueError(
            f"the checkpoint {folder} cannot be read ({type(error).__name__}: {line})"
        ) from None
    tree, other, notes, adam = arrays["params"], arrays["other"], [], None
    if backbone_only and kind != "dstformer" and "backbone" in tree:
        tree, other = tree["backbone"], {}
        notes.append(f"the encoder of a {kind} network")
        described = {**described, "kind": "dstformer"}
        described.pop("head", None)
    elif optimizer and arrays["opt_state"]:
        adam = optimizer_state.from_optax(arrays["opt_state"])
    try:
        network = Network.from_meta(described)
        recognise.check_heads(network, num_heads)
        # Names and shapes against the network that meta describes.
        rows = heads.network_rows(network)
        tensors = params.to_torch(tree, rows, other)
        params.to_network(tensors, network, rows)
        _refuse_broken(tensors)
        if adam and not optimizer_state.is_whole(adam, rows):
            adam = None
            notes.append(
                "a part of it did not train, or not by AdamW: the optimizer's state is left out"
            )
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    meta = {**meta, "network": _described(network, described)}
    return Source(str(folder), meta, tree, adam, notes, other)


def _described(network, recorded):
    """A network's meta, with what was recorded of its clips."""
    clips = recorded.get("clips")
    return network.meta() if clips is None else {**network.meta(), "clips": clips}


@contextlib.contextmanager
def without_warnings():
    """Orbax warns of files that it does not need."""
    before = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before)


def _refuse_broken(arrays: dict) -> None:
    """ValueError where a network has come apart: whatever it computes is NaN."""
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise ValueError(
            f"{len(broken)} of its {len(arrays)} arrays hold NaN or infinite values (such as "
            f"{broken[0]}): the training diverged; use an earlier checkpoint"
        )


# --- files ------------------------------------------------------------------------------------


def _from_file(file: WeightFile, path, num_heads, allow, backbone_only, optimizer):
    odd = [name for name in file.tensors if not isinstance(name, str)]
    if odd:
        raise ValueError(f"a tensor is named {odd[0]!r}, which is not text: not a state dict")
    table, notes = names.normalised(file.tensors)
    notes = [*file.notes, *notes]
    tensors = {plain: file.tensors[name] for name, plain in table.items()}
    state = file.optimizer if optimizer else None
    recorded = recognise.recorded_meta(file)
    if backbone_only and recognise.has_head(tensors):
        below = [name for name in tensors if name.startswith("backbone.")]
        notes.append(f"the encoder alone, without {len(tensors) - len(below)} tensors of the head")
        tensors = {name.removeprefix("backbone."): tensors[name] for name in below}
        state = recorded = None
    network, more = recognise.network_of(tensors, recorded, num_heads)
    notes += more
    unused = heads.left_out(network, tensors)
    tensors = {name: tensor for name, tensor in tensors.items() if name not in unused}
    rows = heads.network_rows(network)
    trees, more = params.to_network(tensors, network, rows, allow)
    notes += more
    _refuse_broken(tensors)
    adam = None
    if state is not None and "MMPose's names" in notes:
        notes.append("its optimizer state is in another order and is left out")
    elif state is not None:
        records.check_optimizer(state)
        adam = optimizer_state.from_torch(state, rows, trees["params"])
    if recorded:
        meta = {**recorded, "network": _described(network, recorded["network"])}
    else:
        meta = _meta(file, network, adam, state)
    return Source(path, meta, trees["params"], adam, notes, trees["other"])


def _meta(file: WeightFile, network, adam, state):
    """A checkpoint's meta for a file that this package did not write.

    The optimizer's step is the step; torch's epoch counts finished epochs. `torch` keeps what has
    no other place here, so that the way back gives the same file.
    """
    fields = {key: records.plain(file.fields[key]) for key in _FIELDS if key in file.fields}
    rate = fields.get("lr")
    if isinstance(rate, list):
        rate = rate[-1] if rate else None  # the head's, of a net with one
    kept: dict = {"fields": fields}
    if state is not None:
        kept["param_groups"] = [
            {str(k): records.plain(v) for k, v in group.items() if k != "params"}
            for group in state["param_groups"]
        ]
    return {
        "step": adam.count if adam else 0,
        "epoch": max(0, int(records.number(fields.get("epoch")) or 1) - 1),
        "learning_rate": records.number(rate),
        "task": "imported",
        "network": network.meta(),
        "config": {},
        "metrics": {},
        "torch": kept,
    }
