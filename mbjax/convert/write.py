"""Where weights go: a checkpoint folder of this package, a PyTorch file, a safetensors file."""

import os
import pathlib
import shutil
import time

from etils import epath

from mbjax.atomic_files import output_folder
from mbjax.body.smpl import Smpl
from mbjax.convert import (
    heads,
    names,
    optimizer_state,
    params,
    safetensors_io,
    smpl_buffers,
    torch_io,
)
from mbjax.convert.read import Source
from mbjax.storage.places import on_disk
from mbjax.training.checkpoint import FOLDER, Checkpoints, steps_in

TORCH_ENDINGS = (".bin", ".pth", ".pt")


def check(out: str | os.PathLike) -> None:
    """ValueError where `out` cannot be written to, before any work is done."""
    path = pathlib.Path(out)
    if path.suffix not in (*TORCH_ENDINGS, ".safetensors"):
        raise ValueError(
            f"{out}: the ending says the format; {', '.join(TORCH_ENDINGS)} is PyTorch's, or "
            ".safetensors"
        )


def to_folder(source: Source, out: str | os.PathLike) -> epath.Path:
    """Writes OUT/checkpoints/STEP as a run does, with the optimizer's state if there is one.

    FileExistsError where OUT holds checkpoints already. Returns the checkpoint's folder, which
    appears whole or not at all.
    """
    out = epath.Path(on_disk(out, "--out"))
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file; --out is a folder")
    # What a killed import left half is no checkpoint; Orbax clears it away.
    if steps_in(out / FOLDER):
        raise FileExistsError(f"{out} holds checkpoints already; give another folder")
    config = source.meta.get("config") or {}
    clip_norm = config.get("clip_norm", 0.0) or 0.0
    opt_state: object = {}
    if source.adam:
        with_head = source.network.head is not None
        opt_state = optimizer_state.to_optax(source.adam, source.params, clip_norm, with_head)
    state = {"params": source.params, "other": source.other, "opt_state": opt_state}
    with output_folder(out):
        try:
            checkpoints = Checkpoints(out)
            try:
                checkpoints.save(state, source.meta)
                checkpoints.wait()
            finally:
                checkpoints.close()
        except BaseException:
            _remove(out / FOLDER)
            raise
    return out / FOLDER / str(source.meta["step"])


def _remove(folder):
    """Deletes a folder that Orbax's threads may still be writing to."""
    for _ in range(30):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)
        if not folder.exists():
            return


def to_file(
    source: Source, out: str | os.PathLike, module_prefix: bool = True, body: Smpl | None = None
) -> None:
    """Writes a PyTorch or safetensors file, told by its ending.

    body: for a mesh net, the SMPL that the release's code wants to find in a PyTorch file.
    """
    check(out)
    network = source.network
    rows = heads.network_rows(network)
    tensors = params.to_torch(source.params, rows, source.other)
    # Version 1 had no checksums.
    record = {"version": 2, "meta": source.meta}
    if pathlib.Path(out).suffix == ".safetensors":
        safetensors_io.write(out, tensors, record)
        return
    if body:
        tensors |= smpl_buffers.tensors(body)
    if module_prefix:
        tensors = {names.DATA_PARALLEL + name: array for name, array in tensors.items()}
    optimizer = None
    if source.adam:
        groups = _param_groups(source.meta, [row for row in rows if row.item == "params"])
        if body:  # torch counts the body's own parameters too, after the head's
            first = groups[-1]["params"][-1] + 1
            groups[-1]["params"] += range(first, first + len(smpl_buffers.PARAMETERS))
        optimizer = optimizer_state.to_torch(source.adam, rows, groups)
    container = heads.saved_as(network.kind).container
    torch_io.write(out, tensors, _fields(source.meta), container, optimizer, record)


def _fields(meta):
    """What the release saves, in its order. Rate and epoch there are those to go on with."""
    metrics = meta.get("metrics") or {}
    saved = heads.saved_as(meta["network"]["kind"])
    rates = _rates(meta)
    own = {
        "epoch": int(meta["epoch"]) + 1,
        "lr": rates if len(rates) > 1 else rates[0],
        "optimizer": None,
        saved.container: None,
        saved.best: next((metrics[n] for n in saved.told_by if n in metrics), saved.start),
    }
    return {**own, **(meta.get("torch") or {}).get("fields", {})}


def _rates(meta) -> list[float]:
    """The rates to go on with: one, or the encoder's and the head's."""
    config = meta.get("config") or {}
    rate = (meta.get("learning_rate") or 0.0) * _decay(config)
    if meta["network"]["kind"] == "dstformer":
        return [rate]
    # What a run records is the head's; both fall alike.
    share = config.get("learning_rate_backbone", 1.0) / config.get("learning_rate_head", 1.0)
    return [rate * share, rate]


def _decay(config):
    """The release lowers the rate after each epoch and saves the lowered one."""
    if config.get("cosine") or config.get("warmup_steps"):
        return 1.0  # the rate depends on the step; the last one is the best guess
    return config.get("rate_decay_per_epoch", 1.0)


def _param_groups(meta, rows):
    """torch's param_groups: all parameters in one, or the encoder's and the head's."""
    rates = _rates(meta)
    encoder = sum(row.torch.startswith("backbone.") for row in rows)
    parts = [range(len(rows))] if len(rates) == 1 else [range(encoder), range(encoder, len(rows))]
    kept = (meta.get("torch") or {}).get("param_groups") or []
    if len(kept) == len(parts):
        groups = [dict(group) for group in kept]
    else:
        decay = (meta.get("config") or {}).get("weight_decay", 0.01)
        order = ("lr", "betas", "eps", "weight_decay")
        groups = []
        for rate in rates:
            group = {"lr": rate, "weight_decay": decay, **optimizer_state.GROUP}
            groups.append({k: group[k] for k in (*order, *(k for k in group if k not in order))})
    return [
        {**group, "betas": tuple(group["betas"]), "params": list(numbers)}
        for group, numbers in zip(groups, parts, strict=True)
    ]
