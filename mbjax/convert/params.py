"""State dicts and parameter trees: strict conversion, partial loading.

Trees are the plain nested dicts of a run's state: {'blocks_st': {0: {'attn_s': ...}}}, float32.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import jax
import numpy as np
from flax import nnx

from mbjax.convert.names import Row, is_allowed
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network

_NAMED_AT_MOST = 8  # names in one message


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


def fresh(network: Network, seed: int = 0) -> dict[str, dict]:
    """{'params': ..., 'other': ...} of a newly initialised network, numpy."""

    def make():
        model = network.make(nnx.Rngs(seed))
        _, params, other = nnx.split(model, nnx.Param, ...)
        return {"params": nnx.to_pure_dict(params), "other": nnx.to_pure_dict(other)}

    return jax.tree.map(np.asarray, jax.jit(make)())  # one program, not one per array


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


def to_network(
    tensors: Mapping[str, np.ndarray],
    network: Network,
    rows: Sequence[Row],
    allow: Sequence[str] = (),
) -> tuple[dict[str, dict], list[str]]:
    """({'params': ..., 'other': ...}, notes) of a state dict under the names of `rows`.

    rows: the network's table. Every tensor is used, every parameter filled, every shape equal: what
    is not is listed in one ValueError, unless its name matches a pattern in `allow`. What is
    allowed to be missing is newly initialised, what is allowed to be too much is left out; the
    notes list it.
    """
    shapes = abstract(network)
    expected: dict = {}
    for row in rows:
        expected |= torch_shapes([row], shapes[row.item])
    problems = _problems(tensors, rows, expected, allow)
    if problems:
        kind = "" if network.kind == "dstformer" else f"a head of kind {network.kind} on "
        raise ValueError(
            f"the tensors are not those of {kind}a DSTformer with {describe(network.encoder)}: "
            f"{'; '.join(problems)} (--allow PATTERN accepts missing or unexpected names)"
        )
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    new = fresh(network) if missing else None
    trees: dict = {item: {} for item in shapes}
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


def _problems(tensors, rows, expected, allow) -> list[str]:
    """Why a state dict does not fit a table, one text for each kind of reason."""
    names = {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected],
    }
    problems = []
    for label, found in names.items():
        found = [name for name in found if not is_allowed(name, allow)]
        if found:
            problems.append(f"{len(found)} {label}: {', '.join(found)}")
    there = [name for name in expected if name in tensors]
    wrong = [name for name in there if tensors[name].shape != expected[name]]
    if wrong:
        problems.append(
            f"{len(wrong)} of another shape: "
            + ", ".join(f"{n} {tensors[n].shape} instead of {expected[n]}" for n in wrong)
        )
    counters = {row.torch for row in rows if row.counter}
    whole = [n for n in there if n not in counters and tensors[n].dtype.kind != "f"]
    if whole:
        problems.append(f"{len(whole)} not of floating point: {', '.join(whole)}")
    return problems


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
