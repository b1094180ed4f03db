"""Anything that holds weights, read into one form: our checkpoints, PyTorch files, safetensors."""

import contextlib
import dataclasses
import os
import pathlib
import socket
import urllib.parse
import urllib.request
from collections.abc import Sequence

import absl.logging
import numpy as np

from mbjax import checkpoint
from mbjax.convert import names, optimizer_state, params, safetensors_io, torch_io
from mbjax.convert.files import WeightFile
from mbjax.convert.optimizer_state import Adam
from mbjax.models.dstformer import DSTformerConfig

_TINY = pathlib.Path(__file__).parents[1] / "weights" / "tiny.safetensors"


@dataclasses.dataclass
class Source:
    """An encoder's weights and what is known about them.

    where: what was read. meta: as in a checkpoint's meta item. params: nested dict, numpy float32.
    adam: the optimizer's state, or None. notes: what a user should know, one line each.
    """

    where: str
    meta: dict
    params: dict
    adam: Adam | None
    notes: list[str]

    @property
    def config(self) -> DSTformerConfig:
        return _config(self.meta["network"])

    def __str__(self):
        text = f"{self.where}: {params.describe(self.config)}"
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
    'hf://owner/name/path', or 'tiny', the small model in the package.

    num_heads: for files that do not say it, 8 by default. which: 'latest' or a step, in a work
    folder. allow: patterns of names that may be missing or left over. backbone_only: the encoder of
    a net with a head. optimizer: whether to read its state too.
    ValueError, FileNotFoundError or ImportError, in one line.
    """
    path = str(path)
    if path == "tiny":
        if not _TINY.is_file():
            raise FileNotFoundError("the weights named 'tiny' are not in this installation")
        path = str(_TINY)
    elif path.startswith("hf://"):
        path = str(_fetch(path))
    if path.endswith(".safetensors"):
        file = safetensors_io.read(path)
    elif "://" not in path and pathlib.Path(path).expanduser().is_file():
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


def _not_a_config(path):
    if pathlib.Path(path).suffix in (".json", ".py", ".yaml", ".npz", ".pkl"):
        raise ValueError(
            f"{path} is no file of weights; give a work folder, or a .bin, .pth, .pt or "
            ".safetensors file"
        )


# --- our own checkpoints ----------------------------------------------------------------------


def _from_orbax(path, num_heads, which, backbone_only, optimizer):
    folder = checkpoint.find(path, which)
    items = ("params", "other", "opt_state") if optimizer else ("params",)
    try:
        with _without_warnings():
            meta, arrays = checkpoint.read(folder, items)
        network = dict(meta["network"])
        kind = network["kind"]
    except Exception as error:  # noqa: BLE001  whatever a damaged folder makes Orbax raise
        line = (str(error).strip().splitlines() or [""])[0][:160]
        raise ValueError(
            f"the checkpoint {folder} cannot be read ({type(error).__name__}: {line})"
        ) from None
    tree, notes, adam = arrays["params"], [], None
    if kind != "dstformer":
        if not (backbone_only and "dstformer" in network and "backbone" in tree):
            raise ValueError(
                f"{folder} holds a network of kind {kind!r}; with --backbone-only (in "
                "Python backbone_only=True) its encoder can be used"
            )
        tree = tree["backbone"]
        notes.append(f"the encoder of a {kind} network")
        network = {"kind": "dstformer", "dstformer": network["dstformer"]}
    elif optimizer and arrays["opt_state"]:
        adam = optimizer_state.from_optax(arrays["opt_state"])
    if num_heads:
        network["dstformer"] = {**network["dstformer"], "num_heads": num_heads}
    source = Source(str(folder), {**meta, "network": network}, tree, adam, notes)
    # Names and shapes against the network that meta describes.
    params.to_params(params.to_torch(tree, names.network_rows(network)), source.config)
    return source


@contextlib.contextmanager
def _without_warnings():
    """Orbax warns of files that it does not need."""
    before = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before)


# --- files ------------------------------------------------------------------------------------


def _from_file(file: WeightFile, path, num_heads, allow, backbone_only, optimizer):
    table, notes = names.normalised(file.tensors)
    notes = [*file.notes, *notes]
    tensors = {plain: file.tensors[name] for name, plain in table.items()}
    state = file.optimizer if optimizer else None
    has_head = any(name.startswith("backbone.") for name in tensors)
    if has_head and not backbone_only:
        head = sorted({n.split(".")[1] for n in tensors if n.startswith("head.")})
        raise ValueError(
            f"the network has a head on its backbone (head.{', head.'.join(head)}), which this "
            "version cannot read; --backbone-only (in Python backbone_only=True) takes its encoder"
        )
    if has_head:
        left = [name for name in tensors if not name.startswith("backbone.")]
        tensors = {
            name.removeprefix("backbone."): tensor
            for name, tensor in tensors.items()
            if name.startswith("backbone.")
        }
        notes.append(f"the encoder alone, without {len(left)} tensors of the head")
        state = None
    recorded = None if has_head else _recorded(file)
    if recorded:
        config = _config(recorded["network"])
        if num_heads:
            config = dataclasses.replace(config, num_heads=num_heads)
    else:
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        config = params.dstformer_config(shapes, num_heads)
        if not num_heads:
            notes.append(f"heads are not in the file, {config.num_heads} assumed")
    tree, more = params.to_params(tensors, config, allow)
    notes += more
    broken = sum(1 for array in tensors.values() if not np.isfinite(array).all())
    if broken:
        notes.append(f"{broken} tensors hold NaN or infinite values")
    adam = None
    if state is not None and "MMPose's names" in notes:
        notes.append("its optimizer state is in another order and is left out")
    elif state is not None:
        adam = optimizer_state.from_torch(state, names.dstformer_rows(config), tree)
    if recorded:
        meta = {**recorded, "network": {**recorded["network"], "dstformer": _sizes(config)}}
    else:
        meta = _meta(file, config, adam, state)
    return Source(path, meta, tree, adam, notes)


def _recorded(file):
    """The meta that this package wrote into a file, or None."""
    meta = file.record.get("meta") if isinstance(file.record, dict) else None
    network = meta.get("network") if isinstance(meta, dict) else None
    if isinstance(network, dict) and isinstance(network.get("dstformer"), dict):
        return meta if network.get("kind") == "dstformer" else None
    return None


def _config(network) -> DSTformerConfig:
    try:
        return DSTformerConfig(**network["dstformer"])
    except TypeError as error:
        raise ValueError(f"its network is of a newer version of this package ({error})") from None


def _sizes(config):
    return dataclasses.asdict(config)


def _meta(file: WeightFile, config, adam, state):
    """A checkpoint's meta for a file that this package did not write.

    The optimizer's step is the step; torch's epoch counts finished epochs. `torch` keeps what has
    no other place here, so that the way back gives the same file.
    """
    fields = {key: file.fields[key] for key in ("epoch", "lr", "min_loss") if key in file.fields}
    rate = fields.get("lr")
    if isinstance(rate, Sequence):
        rate = rate[0]
    kept: dict = {"fields": fields}
    if state is not None:
        kept["param_groups"] = [
            {k: list(v) if isinstance(v, tuple) else v for k, v in group.items() if k != "params"}
            for group in state["param_groups"]
        ]
    return {
        "step": adam.count if adam else 0,
        "epoch": max(0, int(fields.get("epoch", 1)) - 1),
        "learning_rate": None if rate is None else float(rate),
        "task": "imported",
        "network": {"kind": "dstformer", "dstformer": _sizes(config)},
        "config": {},
        "metrics": {},
        "torch": kept,
    }


# --- Hugging Face -----------------------------------------------------------------------------


def _fetch(address: str) -> pathlib.Path:
    """The local copy of hf://owner/name/path, downloaded if it is not there yet."""
    parts = address.removeprefix("hf://").split("/")
    if len(parts) < 3 or not all(parts):
        raise ValueError(f"{address} should read hf://owner/name/path/in/the/repository")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ImportError(
            f"{address} needs the package huggingface_hub (pip install huggingface_hub); or "
            "download the file and give its path"
        ) from None
    repository, file = "/".join(parts[:2]), "/".join(parts[2:])
    # A copy from an earlier time needs no network, and is the same weights as then.
    with contextlib.suppress(Exception):
        return pathlib.Path(hf_hub_download(repository, file, local_files_only=True))
    try:
        _reach_hub()
        return pathlib.Path(hf_hub_download(repository, file, etag_timeout=5))
    except Exception as error:  # noqa: BLE001  its own, requests', httpx's, by version
        line = (str(error).strip().splitlines() or [""])[0][:200]
        raise FileNotFoundError(
            f"{address} is not on this machine and cannot be downloaded "
            f"({type(error).__name__}: {line}); offline, download it elsewhere and give its path"
        ) from None


def _reach_hub():
    """OSError within seconds where the hub cannot be reached; its client tries for half a minute.

    Behind a proxy the client finds out for itself.
    """
    if urllib.request.getproxies():
        return
    hub = urllib.parse.urlparse(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    port = hub.port or (80 if hub.scheme == "http" else 443)
    socket.create_connection((hub.hostname, port), timeout=5).close()
