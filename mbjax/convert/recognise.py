"""Which network a file or a checkpoint holds: as recorded in it, or recognised by its tensors.

Shapes are those of torch, by the names of the table (`names.py`).
"""

import re
from collections.abc import Mapping, Sequence

from mbjax.convert import records
from mbjax.convert.array_types import WeightFile
from mbjax.convert.heads import HEADS, Shapes
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network

HEADS_ASSUMED = "heads are not in the file"
DEFAULT_HEADS = 8  # what every released checkpoint has; no tensor's shape tells


def network_of(
    tensors: Mapping, recorded: Mapping | None, num_heads: int | None = None
) -> tuple[Network, list[str]]:
    """(network, notes) of a file's tensors under the table's names.

    recorded: what `recorded_meta` found in the file, or None. num_heads: of the encoder's
    attention, where the file does not state it. ValueError, in one line, for another network, and
    for another number of heads than the file states.
    """
    if recorded:
        records.check_meta(recorded)
        network = Network.from_meta(recorded["network"])
        check_heads(network, num_heads)
        return network, []
    if num_heads is not None and num_heads < 1:
        raise ValueError(f"num_heads is {num_heads}; it is at least 1")
    network = recognised({name: tensor.shape for name, tensor in tensors.items()}, num_heads)
    if num_heads:
        return network, []
    return network, [f"{HEADS_ASSUMED}, {network.encoder.num_heads} assumed"]


def check_heads(network: Network, num_heads: int | None) -> None:
    """ValueError where another number of heads is given than what was recorded."""
    stated = network.encoder.num_heads
    if num_heads not in (None, stated):
        raise ValueError(f"num_heads is {num_heads}, but the file says {stated} heads")


def recorded_meta(file: WeightFile) -> dict | None:
    """The meta that this package wrote into a file, or None."""
    meta = file.record.get("meta") if isinstance(file.record, dict) else None
    network = meta.get("network") if isinstance(meta, dict) else None
    if isinstance(network, dict) and isinstance(network.get("dstformer"), dict):
        return meta
    return None


def has_head(names) -> bool:
    return any(name.startswith("backbone.") for name in names)


def recognised(shapes: Shapes, num_heads: int | None = None) -> Network:
    """The network that a state dict of these names and shapes belongs to; ValueError, in one line.

    num_heads: of the encoder's attention, 8 unless given.
    """
    if not has_head(shapes):
        return Network(dstformer_config(shapes, num_heads))
    encoder = dstformer_config(_below("backbone", shapes), num_heads)
    head = _below("head", shapes)
    for kind, form in HEADS.items():
        sizes = form.sizes(head)
        if sizes is not None:
            return Network(encoder, kind, sizes)
    raise ValueError(
        f"the network has a head of no known kind on its backbone (head.{', head.'.join(head)}); "
        "--backbone-only (in Python backbone_only=True) takes its encoder"
    )


def dstformer_config(
    shapes: Mapping[str, Sequence[int]], num_heads: int | None = None
) -> DSTformerConfig:
    """Sizes and structure of the encoder that a state dict belongs to.

    shapes: {name in the table: shape in torch}. num_heads: 8 unless given. ValueError, in one line,
    where the names are not an encoder's or the shapes contradict each other.
    """

    def shape(name, axes):
        if name not in shapes:
            raise ValueError(f"no tensor named {name}: this is no DSTformer ({_first(shapes)})")
        if len(shapes[name]) != axes:
            raise ValueError(f"{name} has shape {tuple(shapes[name])}, expected {axes} axes")
        return shapes[name]

    _, maxlen, _, dim = shape("temp_embed", 4)
    joints = shape("pos_embed", 3)[1]
    dim_in = shape("joints_embed.weight", 2)[1]
    dim_rep = shape("pre_logits.fc.weight", 2)[0]
    dim_out = shape("head.weight", 2)[0]
    levels = {int(found[1]) for name in shapes if (found := re.match(r"blocks_st\.(\d+)\.", name))}
    if not levels:
        raise ValueError(f"no tensor named blocks_st.0.*: this is no DSTformer ({_first(shapes)})")
    hidden = shape(
        next((n for n in ("blocks_st.0.mlp_t.fc1.weight", "blocks_st.0.mlp_s.fc1.weight")
              if n in shapes), "blocks_st.0.mlp_t.fc1.weight"), 2
    )[0]  # fmt: skip
    ratio = hidden / dim
    return DSTformerConfig(
        dim_in=dim_in,
        dim_out=dim_out,
        dim_feat=dim,
        dim_rep=dim_rep,
        depth=max(levels) + 1,
        num_heads=num_heads or DEFAULT_HEADS,
        mlp_ratio=int(ratio) if ratio == int(ratio) else ratio,
        num_joints=joints,
        maxlen=maxlen,
        structure=_structure(shapes),
        fusion="adaptive" if "ts_attn.0.weight" in shapes else "average",
    )


def _structure(names):
    """Told by which parts there are. 'ts' alone has the names of 'st', which it is taken for."""
    first = {n.split(".")[2] for n in names if n.startswith("blocks_st.0.")}
    if any(n.startswith("blocks_ts.") for n in names):
        return "st+ts" if "attn_t" in first else "s+t"
    return "st" if "mlp_s" in first else "st-attention"


def _first(names):
    names = sorted(names)
    more = " ..." if len(names) > 3 else ""
    return f"its names: {', '.join(names[:3])}{more}" if names else "it is empty"


def _below(name: str, shapes: Shapes) -> dict:
    return {n.removeprefix(f"{name}."): s for n, s in shapes.items() if n.startswith(f"{name}.")}
