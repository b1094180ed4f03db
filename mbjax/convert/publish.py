"""What goes to a hub of models: weights in both formats, config, model card, checksums."""

import dataclasses
import json
import pathlib
import re

from mbjax.convert import params, write
from mbjax.convert.read import Source
from mbjax.storage import hub

CARD, CONFIG, TORCH = "README.md", "config.json", "pytorch_model.bin"


def write_files(source: Source, folder: pathlib.Path, name: str, license: str = "") -> None:
    """Writes the files of a repository into an empty folder.

    name: owner/name. Of paths, in weights and config too, the last part alone is kept: the rest
    tells of the machine that trained.
    """
    config = without_folders(source.meta.get("config") or {})
    source = dataclasses.replace(source, meta={**source.meta, "config": config})
    write.to_file(source, folder / hub.WEIGHTS)
    write.to_file(source, folder / TORCH)
    described = config or {"model": dataclasses.asdict(source.config)}
    (folder / CONFIG).write_text(json.dumps(described, indent=2) + "\n", "utf-8")
    (folder / CARD).write_text(card(source, name, license), "utf-8")
    sums = {path.name: hub.sha256_of(path) for path in sorted(folder.iterdir())}
    (folder / hub.SUMS).write_text(
        "".join(f"{digest}  {file}\n" for file, digest in sums.items()), "utf-8"
    )


def without_folders(value):
    """A config with the last part alone of each path."""
    if isinstance(value, dict):
        return {key: without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(one) for one in value]
    if isinstance(value, str) and re.search(r"[/\\]", value):
        return re.split(r"[/\\]+", value.rstrip("/\\"))[-1]
    return value


def card(source: Source, name: str, license: str = "") -> str:
    """The text of a model card, of what the checkpoint itself records."""
    meta, network = source.meta, source.network
    config = meta.get("config") or {}
    count = sum(array.size for _, array in params.leaves(source.params))
    rows = {
        "network": f"{network.kind}, {params.describe(network.encoder)}; {count:,} parameters",
        "clips": str(source.trained_on or "not recorded"),
        "trained": f"task {meta['task']}, {meta['step']:,} steps, to epoch {meta['epoch'] + 1}",
        "data": ", ".join(sorted(set(_data(config)))) or "not recorded",
    }
    if network.head is not None:
        head = dataclasses.asdict(network.head)
        rows["head"] = ", ".join(f"{key} {value}" for key, value in head.items())
    metrics = {k: v for k, v in (meta.get("metrics") or {}).items() if isinstance(v, int | float)}
    measured = "\n".join(
        ["| metric | value |", "|---|---|", *(f"| {k} | {v:.4g} |" for k, v in metrics.items())]
    )
    front = ["library_name: mbjax", "tags: [human-motion, 3d-human-pose, motionbert, jax]"]
    if license:
        front.insert(0, f"license: {license}")
    table = "\n".join(f"| {key} | {_cell(value)} |" for key, value in rows.items())
    return _CARD.format(
        front="\n".join(front),
        name=name,
        title=name.partition("/")[2],
        rows=table,
        measured=measured if metrics else "The checkpoint records no evaluation.",
        step=f"{meta['step']:,}",
        weights=hub.WEIGHTS,
        torch=TORCH,
        sums=hub.SUMS,
        config=CONFIG,
        use=_use(network.kind, name),
    )


def _data(config):
    for source in [config, *(config.get("sources") or {}).values(), config.get("data") or {}]:
        if isinstance(source, dict) and isinstance(source.get("dir"), str) and source["dir"]:
            yield source["dir"]


def _use(kind, name):
    if kind == "action":
        return f"mbjax predict-action hf://{name} keypoints.json"
    if kind == "dstformer" or kind.startswith("mesh"):
        return f"mbjax infer --checkpoint hf://{name} --video dance.mp4 --out motion"
    return f"mbjax parity hf://{name}"


def _cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


_CARD = """\
---
{front}
---
# {title}

Weights of a MotionBERT network, trained with mbjax (JAX).

| | |
|---|---|
{rows}

## What it was measured at

By its own run's evaluation, at step {step}:

{measured}

## Use

```bash
{use}
```

```python
import mbjax

model = mbjax.load("hf://{name}")  # @COMMIT behind the name pins it
```

`{torch}` loads into the PyTorch release's network with `strict=True`; `{weights}` has the same
tensors without PyTorch. `{config}` is the run's config, of whose paths the last part is kept.
`sha256sum --check {sums}` verifies the files.
"""
