"""State dicts and parameter trees: sizes from tensors, strict conversion, partial loading.

Trees are the plain nested dicts of a run's state: {'blocks_st': {0: {'attn_s': ...}}}, float32.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np
from flax import nnx

from mbjax.convert.names import Row, dstformer_rows, is_allowed
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network

DEFAULT_HEADS = 8  # what every released checkpoint has; no tensor's shape tells
_NAMED_AT_MOST = 8  # names in one message


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
    levels = {
        int(found[1]) for name in shapes if (found := re.match(r"blocks_st\.(\d+)\.", name))
    }
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


def describe(config: DSTformerConfig) -> str:
    """Sizes in one line."""
    text = (
        f"dim_feat {config.dim_feat}, dim_rep {config.dim_rep}, depth {config.depth}, "
        f"heads {config.num_heads}, mlp_ratio {config.mlp_ratio:g}, maxlen {config.maxlen}, "
        f"{config.num_joints} joints, {config.dim_in} -> {config.dim_out} channels"
    )
    if (config.structure, config.fusion) != ("st+ts", "adaptive"):
        text += f", structure {config.structure}, fusion {config.fusion}"
    if config.dtype != "float32":
        text += f", matrix products in {config.dtype}"
    return text


def fresh_params(config: DSTformerConfig, seed: int = 0) -> dict:
    """A newly initialised encoder's parameters, numpy."""
    return _fresh(Network(config), seed)["params"]


def _fresh(network: Network, seed: int = 0) -> dict[str, dict]:
    def fresh():
        model = network.make(nnx.Rngs(seed))
        _, params, other = nnx.split(model, nnx.Param, ...)
        return {"params": nnx.to_pure_dict(params), "other": nnx.to_pure_dict(other)}

    return jax.tree.map(np.asarray, jax.jit(fresh)())  # one program, not one per array


def abstract_params(config: DSTformerConfig) -> dict:
    """The same without values, jax.ShapeDtypeStruct; to be read, not changed."""
    return abstract(Network(config))["params"]


@functools.lru_cache(maxsize=16)
def abstract(network: Network) -> dict[str, dict]:
    """{'params': ..., 'other': ...} of a network, jax.ShapeDtypeStruct; to be read only."""
    _, params, other = nnx.split(network.abstract(), nnx.Param, ...)
    return {"params": nnx.to_pure_dict(params), "other": nnx.to_pure_dict(other)}


def build(
    network: Network | DSTformerConfig, params: Mapping, other: Mapping | None = None
) -> nnx.Module:
    """The model with these parameters and statistics, in evaluation mode."""
    if isinstance(network, DSTformerConfig):
        network = Network(network)
    graphdef, _, _ = nnx.split(network.abstract(), nnx.Param, ...)
    trees = (jax.tree.map(jax.numpy.asarray, dict(tree)) for tree in (params, other or {}))
    model = nnx.merge(graphdef, *trees)
    model.eval()
    return model


# --- strict conversion ------------------------------------------------------------------------


def to_params(
    tensors: Mapping[str, np.ndarray], config: DSTformerConfig, allow: Sequence[str] = ()
) -> tuple[dict, list[str]]:
    """(parameters, notes) of an encoder's state dict under the table's names: see `to_trees`."""
    network = Network(config)
    trees, notes = to_network(tensors, network, dstformer_rows(config), allow)
    return trees["params"], notes


def to_network(
    tensors: Mapping[str, np.ndarray],
    network: Network,
    rows: Sequence[Row],
    allow: Sequence[str] = (),
) -> tuple[dict[str, dict], list[str]]:
    """`to_trees` for a network and its table."""
    kind = "" if network.kind == "dstformer" else f"a head of kind {network.kind} on "
    return to_trees(
        tensors,
        rows,
        abstract(network),
        lambda: _fresh(network),
        allow,
        f"{kind}a DSTformer with {describe(network.encoder)}",
    )


def to_trees(
    tensors: Mapping[str, np.ndarray],
    rows: Sequence[Row],
    abstract: Mapping[str, Mapping],
    fresh: Callable[[], Mapping[str, Mapping]],
    allow: Sequence[str],
    network: str,
) -> tuple[dict[str, dict], list[str]]:
    """({'params': ..., 'other': ...}, notes) of a state dict under the names of `rows`.

    abstract: the shapes here, by item. fresh: makes an initialised network's. network: what it is,
    for the message. Every tensor is used, every parameter filled, every shape equal: what is not is
    listed in one ValueError, unless its name matches a pattern in `allow`. What is allowed to be
    missing is newly initialised, what is allowed to be too much is left out; the notes say so.
    """
    expected = {}
    for row in rows:
        expected |= torch_shapes([row], abstract[row.item])
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    wrong = [
        name for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]  # fmt: skip
    counters = {row.torch for row in rows if row.counter}
    whole = [
        name for name in expected
        if name in tensors and name not in counters and tensors[name].dtype.kind != "f"
    ]  # fmt: skip
    problems = []
    for label, names in (("missing", missing), ("unexpected", unexpected)):
        names = [name for name in names if not is_allowed(name, allow)]
        if names:
            problems.append(f"{len(names)} {label}: {', '.join(names)}")
    if wrong:
        problems.append(
            f"{len(wrong)} of another shape: "
            + ", ".join(f"{n} {tensors[n].shape} instead of {expected[n]}" for n in wrong)
        )
    if whole:
        problems.append(f"{len(whole)} not of floating point: {', '.join(whole)}")
    if problems:
        raise ValueError(
            f"the tensors are not those of {network}: {'; '.join(problems)} (--allow PATTERN "
            "accepts missing or unexpected names)"
        )
    trees: dict = {item: {} for item in abstract}
    new = fresh() if missing else None
    for row in rows:
        found = row.torch in tensors
        array = row.here(tensors[row.torch]) if found else get(new[row.item], row.path)
        put(trees[row.item], row.path, array)
    notes = []
    if missing:
        notes.append(f"newly initialised: {shorten(missing)}")
    if unexpected:
        notes.append(f"left out: {shorten(unexpected)}")
    return trees, notes


def to_torch(
    params: Mapping, rows: Iterable[Row], other: Mapping | None = None
) -> dict[str, np.ndarray]:
    """The state dict in torch's order, without prefix; ValueError on leftovers.

    other: the statistics, for rows of that item.
    """
    rows = list(rows)
    trees = {"params": params, "other": other or {}}
    known = {(row.item, row.path) for row in rows}
    left = [
        ".".join(map(str, path))
        for item, tree in trees.items()
        for path, _ in leaves(tree)
        if (item, path) not in known
    ]
    if left:
        raise ValueError(f"the checkpoint has {shorten(left)}, which its network does not have")
    absent = [row.torch for row in rows if get(trees[row.item], row.path) is None]
    if absent:
        raise ValueError(f"the checkpoint lacks {shorten(absent)}")
    return {row.torch: row.there(np.asarray(get(trees[row.item], row.path))) for row in rows}


def torch_shapes(rows: Iterable[Row], params: Mapping) -> dict[str, tuple[int, ...]]:
    """{torch's name: shape in torch} of real or abstract parameters."""
    shapes = {}
    for row in rows:
        shape = get(params, row.path).shape
        shapes[row.torch] = tuple(shape[i] for i in np.argsort(row.axes)) if row.axes else shape
    return shapes


# --- partial loading --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Merged:
    """Where the parameters of a net came from: dotted paths of this package."""

    loaded: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self):
        parts = [f"loaded {len(self.loaded)} of {len(self.loaded) + len(self.new)} parameters"]
        if self.new:
            parts.append(f"newly initialised: {shorten(self.new)}")
        if self.unused:
            parts.append(f"not used: {shorten(self.unused)}")
        return "; ".join(parts)


def merge_backbone(
    params: Mapping, backbone: Mapping, under: tuple = ("backbone",)
) -> tuple[dict, Merged]:
    """(new parameters, where each came from): a bigger net's with its encoder replaced.

    params: of the net that is to train; `backbone` goes to its sub-tree `under` (() for a net that
    is an encoder itself). Parameters that `backbone` lacks stay as they are and count as new;
    ValueError, in one line, where a shape differs or nothing fits at all.
    """
    result: dict = {}
    source = {(*under, *path): array for path, array in leaves(backbone)}
    loaded, new, wrong = [], [], []
    for path, array in leaves(params):
        name = ".".join(map(str, path))
        found = source.pop(path, None)
        if found is None:
            new.append(name)
        elif tuple(found.shape) != tuple(array.shape):
            wrong.append(f"{name} {tuple(found.shape)} instead of {tuple(array.shape)}")
        else:
            loaded.append(name)
        put(result, path, array if found is None else found)
    if wrong:
        raise ValueError(
            f"the weights are those of another size: {shorten(wrong)}; set the config's model to "
            "the sizes of the checkpoint"
        )
    if not loaded:
        raise ValueError("the weights have no parameter in common with the network")
    unused = tuple(".".join(map(str, path)) for path in source)
    return result, Merged(tuple(loaded), tuple(new), unused)


# --- trees ------------------------------------------------------------------------------------


def leaves(tree: Mapping, path: tuple = ()) -> Iterable[tuple[tuple, np.ndarray]]:
    """(path, array) for every array of a nested dict, in its order."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def get(tree: Mapping, path: Sequence):
    """The entry at a path, or None."""
    for name in path:
        if not isinstance(tree, Mapping) or name not in tree:
            return None
        tree = tree[name]
    return tree


def put(tree: dict, path: Sequence, value) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def shorten(names: Sequence[str]) -> str:
    """Names in one line, the first few of many."""
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
