"""AdamW's state between torch and Optax.

torch numbers parameters in the order of `model.parameters()` and keeps for each: step, exp_avg,
exp_avg_sq. Optax keeps one count and two trees like the parameters. Moments have the layout of
their parameter on either side.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np
import optax

from mbjax.convert.names import Row
from mbjax.convert.params import get, leaves, put, shorten, torch_shapes
from mbjax.training import optimizer

# What torch.optim.AdamW of this package's settings writes beside lr, weight_decay and params.
GROUP = {
    "betas": (0.9, 0.999), "eps": 1e-08, "amsgrad": False, "maximize": False, "foreach": None,
    "capturable": False, "differentiable": False, "fused": None, "decoupled_weight_decay": True,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Adam:
    """count: steps taken; mu, nu: trees like the parameters, first and second moment."""

    count: int
    mu: dict
    nu: dict


def from_torch(state: Mapping, rows: Sequence[Row], params: Mapping) -> Adam:
    """torch's optimizer.state_dict(), arrays as numpy, for parameters `rows` in torch's order.

    An optimizer that has not stepped yet has no state: count 0, moments 0. ValueError, in one line,
    where it belongs to another network, or holds what Optax's AdamW cannot.
    """
    rows = [row for row in rows if row.item == "params"]
    groups, entries = state["param_groups"], state["state"]
    numbers = [number for group in groups for number in group["params"]]
    if sorted(numbers) != list(range(len(rows))):
        raise ValueError(
            f"the optimizer state is for another network, or a part of this one: it has "
            f"{len(numbers)} parameters, the network {len(rows)}; --no-optimizer leaves it out"
        )
    if set(entries) - set(numbers):
        raise ValueError(
            "the optimizer state has moments of parameters that its groups do not list; "
            "--no-optimizer leaves it out"
        )
    if not entries:
        return Adam(0, *(_zeros(params) for _ in range(2)))
    shapes = torch_shapes(rows, params)
    steps, mu, nu, absent, wrong = set(), {}, {}, [], []
    # Numbers run on through the groups (backbone, then head): the model's own order.
    for number, row in enumerate(rows):
        entry = entries.get(number)
        if entry is None:
            if row.trained:
                absent.append(row.torch)
            for tree in (mu, nu):
                put(tree, row.path, np.zeros(get(params, row.path).shape, np.float32))
            continue
        if "exp_avg" not in entry or "exp_avg_sq" not in entry or "max_exp_avg_sq" in entry:
            raise ValueError(
                f"the optimizer state of {row.torch} has {', '.join(entry)}: not that of plain "
                "AdamW; --no-optimizer leaves it out"
            )
        for name, tree in (("exp_avg", mu), ("exp_avg_sq", nu)):
            array = np.asarray(entry[name])
            if array.shape != shapes[row.torch]:
                wrong.append(f"{row.torch} {array.shape} instead of {shapes[row.torch]}")
                break
            put(tree, row.path, row.here(array.astype(np.float32)))
        steps.add(float(entry["step"]))
    if wrong:
        raise ValueError(
            f"the optimizer state is for another network: {shorten(wrong)}; --no-optimizer "
            "leaves it out"
        )
    if absent:
        raise ValueError(
            f"the optimizer state lacks {shorten(absent)}; --no-optimizer leaves it out"
        )
    if len(steps) > 1:
        raise ValueError(
            f"the parameters have taken different numbers of steps ({min(steps):g} to "
            f"{max(steps):g}), Optax keeps one; --no-optimizer leaves the optimizer out"
        )
    return Adam(int(steps.pop()), mu, nu)


def to_torch(adam: Adam, rows: Sequence[Row], groups: Sequence[Mapping]) -> dict:
    """torch's optimizer.state_dict(), arrays as numpy. groups: param_groups with their numbers."""
    rows = [row for row in rows if row.item == "params"]
    state = {}
    if adam.count:
        for number, row in enumerate(rows):
            if row.trained:
                state[number] = {
                    "step": np.float32(adam.count),
                    "exp_avg": row.there(np.asarray(get(adam.mu, row.path))),
                    "exp_avg_sq": row.there(np.asarray(get(adam.nu, row.path))),
                }
    return {"state": state, "param_groups": [dict(group) for group in groups]}


def to_optax(adam: Adam, params: Mapping, clip_norm: float = 0.0, with_head: bool = False):
    """The state of `optimizer.adamw` for a run whose config has this clip_norm.

    with_head: of `adamw_in_groups` with the groups of a net with a head.
    """

    def none(step):
        return 0.0

    if with_head:
        rates = {"backbone": none, "head": none}
        tx = optimizer.adamw_in_groups(rates, optimizer.encoder_and_head(), 0.0, clip_norm)
    else:
        tx = optimizer.adamw(none, 0.0, clip_norm)
    count = np.int32(adam.count)

    def fill(part):
        if isinstance(part, optax.ScaleByAdamState):
            moments = (_masked(part.mu, adam.mu), _masked(part.nu, adam.nu))
            return optax.ScaleByAdamState(count, *moments)
        if isinstance(part, optax.ScaleByScheduleState):
            return optax.ScaleByScheduleState(count)
        return part

    counted = (optax.ScaleByAdamState, optax.ScaleByScheduleState)
    return jax.tree.map(fill, tx.init(params), is_leaf=lambda part: isinstance(part, counted))


def _masked(like, tree):
    """`tree` without what another group of parameters holds."""
    return jax.tree.map(
        lambda a, b: a if isinstance(a, optax.MaskedNode) else b,
        like,
        tree,
        is_leaf=lambda a: isinstance(a, optax.MaskedNode),
    )


def from_optax(opt_state) -> Adam | None:
    """Adam's part of an Optax state, live or as read from a checkpoint; None without one.

    Of groups of parameters, all their moments in one tree.
    """
    found = list(_adams(opt_state))
    if not found:
        return None
    trees: dict = {"mu": {}, "nu": {}}
    for part in found:
        for name, tree in trees.items():
            for path, array in leaves(part[name]):
                if hasattr(array, "shape"):  # else the place of another group's
                    put(tree, path, array)
    return Adam(int(found[0]["count"]), **trees)


def _adams(part):
    if hasattr(part, "_asdict"):
        part = part._asdict()
    if isinstance(part, Mapping):
        if {"count", "mu", "nu"} <= set(part):
            yield part
            return
        part = part.values()
    elif not isinstance(part, list | tuple):
        return
    for inner in part:
        yield from _adams(inner)


def is_whole(adam: Adam, rows: Sequence[Row]) -> bool:
    """Whether every parameter that torch's optimizer would keep has moments."""
    return all(
        get(adam.mu, row.path) is not None for row in rows if row.item == "params" and row.trained
    )


def _zeros(params):
    tree: dict = {}
    for path, array in leaves(params):
        put(tree, path, np.zeros(array.shape, np.float32))
    return tree
