"""`mbjax.load`: a model from any kind of weights, ready to be called.

Shapes: models take (batch, frames, joints, channels) and give (batch, frames, joints, 3).
"""

import os
from collections.abc import Mapping, Sequence
from typing import cast

from mbjax.convert import params as conversion
from mbjax.convert import read as sources
from mbjax.convert.params import Merged
from mbjax.models.dstformer import DSTformer
from mbjax.remarks import remark


def load(
    path: str | os.PathLike,
    num_heads: int | None = None,
    which: str = "latest",
    *,
    allow: Sequence[str] = (),
    backbone_only: bool = False,
    kinds: Sequence[str] = (),
    verbose: bool = True,
) -> DSTformer:
    """The model of a checkpoint, in evaluation mode: `pose = model(x)`, `model.represent(x)`.

    A DSTformer (as annotated, since most files hold one), or the net with a head that the
    checkpoint is of (ActionNet, EmbedNet ...), whose encoder is `model.backbone`.

    path: a work folder or one of its checkpoints/STEP; a PyTorch file (.bin, .pth, .pt) of this
    package, the release or MMPose; a .safetensors file; gs:// or s3:// of any of these;
    'hf://owner/name[@revision][/file]'; or 'tiny', a small model that comes with the package.
    num_heads: 8 where the file does not state it. which: 'latest' or a step, in a work folder.
    allow: shell patterns of names that may be missing (newly initialised) or left over.
    backbone_only: the encoder of a net with a head. kinds: those that will do ('dstformer',
    'action', ...), any where empty. verbose: say in one line, on stderr, what was loaded.
    Sizes come from the tensors and are then `model.config`. `model.trained_on` is the length and
    frame rate of the clips that it was trained on, where that is recorded, or None.

    Raises ValueError, FileNotFoundError or ImportError (PyTorch files need PyTorch), in one line.

    >>> import mbjax, numpy
    >>> model = mbjax.load("tiny", verbose=False)
    >>> keypoints = numpy.zeros((1, 27, 17, 3))  # x, y in [-1, 1], confidence
    >>> model(keypoints).shape, model.represent(keypoints).shape
    ((1, 27, 17, 3), (1, 27, 17, 96))
    """
    source = sources.read(path, num_heads, which, allow, backbone_only)
    if kinds and source.network.kind not in kinds:
        raise ValueError(
            f"{path} is a network of kind {source.network.kind!r}; needed: {' or '.join(kinds)}"
        )
    if verbose:
        remark(f"mbjax.load: {source}")
    model = conversion.build(source.network, source.params, source.other)
    model.trained_on = source.trained_on
    return cast(DSTformer, model)


def load_into(
    params: Mapping,
    path: str | os.PathLike,
    under: tuple = (),
    *,
    which: str = "latest",
    allow: Sequence[str] = (),
    verbose: bool = True,
) -> tuple[dict, Merged]:
    """(new parameters, where each came from): a net's parameters with a checkpoint's encoder in.

    params: nested dict of arrays (a run's state["params"]). path: what `load` takes; of a net with
    a head, its encoder is used. under: where the encoder sits, ('backbone',) in a net with a head.
    Raises what `load` raises, and ValueError where the sizes differ.

    >>> import mbjax
    >>> from flax import nnx
    >>> model = mbjax.load("tiny", verbose=False)
    >>> blank = nnx.to_pure_dict(nnx.state(type(model)(model.config, rngs=nnx.Rngs(0))))
    >>> _, where_from = mbjax.load_into(blank, "tiny", verbose=False)
    >>> where_from
    Merged(...)
    """
    source = sources.read(path, None, which, allow, backbone_only=True)
    merged, report = conversion.merge_backbone(params, source.params, under)
    if verbose:
        remark(f"mbjax.load_into: {source.where}: {report}")
    return merged, report
