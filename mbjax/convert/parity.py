"""Is this the same network? Here and in PyTorch, the same weights on the same inputs, side by side.

Compared at several lengths: every block's output, the representation, the pose, the pretraining
loss, its gradient for every parameter, and one AdamW step; in float32 with matrix products at
highest precision. bfloat16 is shown beside it and judged by nothing.

Shapes in names: B batch, T frames, J joints, C channels.
"""

import dataclasses
import functools
import importlib
import pathlib
import sys
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mbjax.convert import names, optimizer_state, params
from mbjax.convert.read import Source
from mbjax.convert.torch_io import require_torch
from mbjax.pose import losses
from mbjax.safe_files import numpy_files
from mbjax.training import optimizer

LENGTHS = (1, 81, 243)
WEIGHTS = {"joint": 1.0, "scale": 0.5, "velocity": 20.0}

# The largest difference allowed, as a share of the largest value of the same tensor. float32 has 24
# bits: sums over some hundred products, ten attention blocks deep, leave about 1e-6 to 1e-5; what
# is another formula (GELU by tanh, another eps, heads in another order) starts above 1e-4.
FORWARD_LIMIT = 5e-5
# Gradients go through every block twice as deep and are differences of large sums. A parameter
# whose gradient is below a thousandth of the largest is measured by that: it is mostly rounding.
GRADIENT_LIMIT = 2e-4
# From the same gradients a step is a few float32 operations: some ulps of weights of size 1.
STEP_LIMIT = 1e-6


@dataclasses.dataclass(frozen=True)
class Difference:
    """One tensor here against there. relative: as a share of the largest, and mean, value there."""

    frames: int
    name: str
    max_abs: float
    mean_abs: float
    max_relative: float
    mean_relative: float
    ok: bool

    @classmethod
    def of(cls, frames, name, here, there, limit, scale=None, absolute=False):
        here, there = (np.asarray(a, np.float64) for a in (here, there))
        difference = np.abs(here - there)
        size = np.abs(there)
        tiny = np.finfo(np.float32).tiny
        relative = difference.max() / max(scale or 0.0, size.max(), tiny)
        judged = difference.max() if absolute else relative
        return cls(
            frames, name, float(difference.max()), float(difference.mean()), float(relative),
            float(difference.mean() / max(size.mean(), tiny)), bool(judged <= limit),
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Report:
    """What `compare` found. bfloat16: the pose in bfloat16 against float32, both here.

    net, net_gradients: of a net with a head as a whole, see parity_nets.
    """

    checkpoint: str
    against: str
    sizes: str
    forward: list[Difference]
    gradients: list[Difference]
    step: list[Difference]
    bfloat16: list[Difference]
    net: list[Difference] = dataclasses.field(default_factory=list)
    net_gradients: list[Difference] = dataclasses.field(default_factory=list)

    @property
    def first_mismatch(self) -> str | None:
        for what, found in (
            ("forward", self.forward), ("gradient of", self.gradients),
            ("AdamW step of", self.step), ("the whole net's", self.net),
            ("the whole net's gradient of", self.net_gradients),
        ):  # fmt: skip
            for difference in found:
                if not difference.ok:
                    return f"{what} {difference.name} at {difference.frames} frame(s)"
        return None

    @property
    def ok(self) -> bool:
        return self.first_mismatch is None

    def as_dict(self) -> dict:
        return {**dataclasses.asdict(self), "ok": self.ok, "first_mismatch": self.first_mismatch}


def compare(
    source: Source,
    lengths: Sequence[int] = LENGTHS,
    clips_BxTxJxC: np.ndarray | None = None,
    targets_BxTxJx3: np.ndarray | None = None,
    reference: str | None = None,
    batch: int = 1,
    say=lambda text: None,
) -> Report:
    """The weights of `source` in both networks.

    lengths: frames of the clips, each bounded by the model's maxlen and the clips' length. clips:
    real ones to cut from (random ones otherwise). reference: a checkout of the release whose own
    network is used instead of the twin; this runs its code.
    ImportError without PyTorch, FileNotFoundError or ValueError where the reference has no network.
    """
    torch = require_torch("parity reports")
    config = dataclasses.replace(source.config, dtype="float32", remat=False)
    rows = names.dstformer_rows(config)
    network, against = _torch_network(torch, config, reference)
    state = {
        name: torch.from_numpy(np.array(array))
        for name, array in params.to_torch(source.params, rows).items()
    }
    network.load_state_dict(state, strict=True)
    here = _compiled(config)
    longest = config.maxlen if clips_BxTxJxC is None else min(config.maxlen, clips_BxTxJxC.shape[1])
    forward, gradients, low = [], [], []
    for frames in sorted({min(length, longest) for length in lengths}):
        say(f"{frames} frame(s) ...")
        x, target = _inputs(config, frames, batch, clips_BxTxJxC, targets_BxTxJx3)
        there = _there(torch, network, config, x, target)
        with jax.default_matmul_precision("highest"):
            mine, grads = jax.tree.map(np.asarray, here.gradient(source.params, x, target))
        compared = functools.partial(Difference.of, frames)
        for name in _place_names(config):
            forward.append(compared(name, mine[name], there.places[name], FORWARD_LIMIT))
        grads = params.to_torch(grads, rows)
        floor = 1e-3 * max(np.abs(g).max() for g in there.gradients.values())
        for name, array in grads.items():
            gradients.append(
                compared(name, array, there.gradients[name], GRADIENT_LIMIT, scale=floor)
            )
        pose = here.bfloat16(source.params, x)
        low.append(compared("pose", pose, mine["pose"], np.inf))
    step = _step(torch, network, source, rows, there.gradients, frames)
    return Report(source.where, against, params.describe(config), forward, gradients, step, low)


def _inputs(config, frames, batch, clips_BxTxJxC, targets_BxTxJx3):
    """A clip and its target: cut from real ones, or random with a confidence in [0, 1]."""
    if clips_BxTxJxC is not None:
        x = clips_BxTxJxC[:batch, :frames].astype(np.float32)
        if targets_BxTxJx3 is None:  # the input's own x and y, depth 0
            pad = [(0, 0)] * 3 + [(0, config.dim_out - 2)]
            return x, np.pad(x[..., :2], pad)
        return x, targets_BxTxJx3[:batch, :frames].astype(np.float32)
    generator = np.random.default_rng(frames)
    shape = (batch, frames, config.num_joints)
    x = generator.normal(0, 0.5, (*shape, config.dim_in)).astype(np.float32)
    if config.dim_in == 3:
        x[..., 2] = generator.uniform(size=shape)
    return x, generator.normal(0, 0.5, (*shape, config.dim_out)).astype(np.float32)


# --- here -------------------------------------------------------------------------------------


class _Here:
    """The JAX network: compiled once per length."""

    def __init__(self, config):
        self._model = functools.partial(params.build, config)
        low = dataclasses.replace(config, dtype="bfloat16")
        self.bfloat16 = jax.jit(lambda tree, x: params.build(low, tree)(x))

        def loss(tree, x, target):
            places = _places(params.build(config, tree), x)
            total, terms = losses.pose_loss(places["pose"], target, WEIGHTS)
            return total, {**places, **{f"loss {name}": v for name, v in terms.items()}}

        def gradient(tree, x, target):
            grads, places = jax.grad(loss, has_aux=True)(tree, x, target)
            return places, grads

        self.gradient = jax.jit(gradient)


def _place_names(config) -> list[str]:
    """In the order of the network: the first that differs is where to look."""
    names = ["embedding"]
    for level in range(config.depth):
        names.append(f"blocks_st.{level}")
        if len(config.streams) == 2:
            names.append(f"blocks_ts.{level}")
        names.append(f"level {level}")
    return [*names, "norm", "representation", "pose", *(f"loss {name}" for name in WEIGHTS)]


@functools.lru_cache(maxsize=4)
def _compiled(config) -> _Here:
    return _Here(config)


def _places(model: nnx.Module, x_BxTxJxC) -> dict[str, jax.Array]:
    """What leaves every part of the network."""
    x = model.embed(x_BxTxJxC)
    places = {"embedding": x}
    for level in range(model.config.depth):
        places[f"blocks_st.{level}"] = model.blocks_st[level](x)
        if len(model.config.streams) == 2:
            places[f"blocks_ts.{level}"] = model.blocks_ts[level](x)
        x = places[f"level {level}"] = model.levels()[level](x)
    places["norm"] = model.norm(x)
    places["representation"] = model.pre_logits(places["norm"])
    places["pose"] = model.head(places["representation"])
    return places


# --- there ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _There:
    places: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


def _torch_network(torch, config, reference):
    if reference is None:
        from mbjax.convert.twin import TwinDSTformer

        return TwinDSTformer(config).eval(), "the PyTorch twin of this package"
    root = pathlib.Path(reference).expanduser().resolve()
    if not (root / "lib" / "model" / "DSTformer.py").is_file():
        raise FileNotFoundError(
            f"{root} has no lib/model/DSTformer.py; --reference is a checkout of the release"
        )
    if config.structure != "st+ts":
        raise ValueError(f"the release has no network of structure {config.structure!r}")
    sys.path.insert(0, str(root))
    try:
        network = importlib.import_module("lib.model.DSTformer").DSTformer
    finally:
        sys.path.remove(str(root))
    network = network(
        dim_in=config.dim_in, dim_out=config.dim_out, dim_feat=config.dim_feat,
        dim_rep=config.dim_rep, depth=config.depth, num_heads=config.num_heads,
        mlp_ratio=config.mlp_ratio, num_joints=config.num_joints, maxlen=config.maxlen,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
        att_fuse=config.fusion == "adaptive",
    )  # fmt: skip
    return network.eval(), f"lib.model.DSTformer in {root}"


def _there(torch, network, config, x_BxTxJxC, target_BxTxJx3) -> _There:
    """Every part's output by hooks, which fit the twin and the release alike."""
    from mbjax.convert.twin import pretraining_loss

    B, T, J, _ = x_BxTxJxC.shape
    places: dict = {}

    def keep(name, tensor):
        # The release folds frames into the batch.
        places[name] = tensor.detach().reshape(B, T, J, -1).numpy()

    modules = dict(network.named_modules())
    hooks = []

    def after(module, name):
        def hook(_module, _inputs, output):
            keep(name, output)

        hooks.append(modules[module].register_forward_hook(hook))

    def before(module, name):
        def hook(_module, inputs):
            keep(name, inputs[0])

        hooks.append(modules[module].register_forward_pre_hook(hook))

    for level in range(config.depth):
        before(f"blocks_st.{level}", f"level {level - 1}" if level else "embedding")
        after(f"blocks_st.{level}", f"blocks_st.{level}")
        if len(config.streams) == 2:
            after(f"blocks_ts.{level}", f"blocks_ts.{level}")
    before("norm", f"level {config.depth - 1}")
    after("norm", "norm")
    after("pre_logits", "representation")
    network.zero_grad()
    try:
        pose = network(torch.from_numpy(x_BxTxJxC))
    finally:
        for hook in hooks:
            hook.remove()
    total, terms = pretraining_loss(pose, torch.from_numpy(target_BxTxJx3))
    total.backward()
    places["pose"] = pose.detach().numpy()
    for name, term in zip(WEIGHTS, terms, strict=True):
        places[f"loss {name}"] = term.detach().numpy()
    gradients = {name: p.grad.numpy().copy() for name, p in network.named_parameters()}
    return _There(places, gradients)


def _step(torch, network, source, rows, gradients, frames) -> list[Difference]:
    """One AdamW step on either side from the same gradients, with the checkpoint's own moments."""
    rate = source.meta.get("learning_rate") or 5e-4
    decay = (source.meta.get("config") or {}).get("weight_decay", 0.01)
    own = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    if [name for name, _ in network.named_parameters()] != [row.torch for row in rows]:
        raise ValueError("the PyTorch network numbers its parameters in another order")
    if source.adam:
        state = optimizer_state.to_torch(source.adam, rows, own.state_dict()["param_groups"])
        for entry in state["state"].values():
            entry.update({k: torch.from_numpy(np.array(v)) for k, v in entry.items()})
        own.load_state_dict(state)
    own.step()  # on the gradients of the last backward pass, which are `gradients`
    here: dict = {}
    for row in rows:
        params.put(here, row.path, row.here(gradients[row.torch]))
    update = optimizer.adamw(lambda step: jnp.float32(rate), decay)
    state = (
        optimizer_state.to_optax(source.adam, source.params)
        if source.adam
        else update.init(source.params)
    )
    changes, _ = jax.jit(update.update)(here, state, source.params)
    new = params.to_torch(jax.tree.map(np.add, source.params, changes), rows)
    there = {name: p.detach().numpy() for name, p in network.named_parameters()}
    return [
        Difference.of(frames, name, new[name], there[name], STEP_LIMIT, absolute=True)
        for name in new
    ]


# --- input and output -------------------------------------------------------------------------


def read_clips(path: str, config) -> tuple[np.ndarray, np.ndarray | None]:
    """(clips (N, T, J, C), targets (N, T, J, 3) or None) of an .npz file.

    Clips are its array `x` or `keypoints`, or its only one; targets `gt` or `target`. A file
    without a batch axis is one clip. ValueError, in one line, where the shapes do not fit.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        arrays = numpy_files.read_npz(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is no .npz file of plain arrays ({error})") from None
    name = next((n for n in ("x", "keypoints") if n in arrays), None)
    if name is None and len(arrays) == 1:
        name = next(iter(arrays))
    if name is None:
        raise ValueError(f"{path} has no array x or keypoints; it has: {', '.join(arrays)}")
    target = next((n for n in ("gt", "target") if n in arrays), None)

    def clips(name, channels):
        a = arrays[name]
        a = a[None] if a.ndim == 3 else a
        if a.ndim != 4 or a.shape[2:] != (config.num_joints, channels) or a.dtype.kind != "f":
            raise ValueError(
                f"{path}: {name} has shape {arrays[name].shape}, expected floats (clips, frames, "
                f"{config.num_joints}, {channels})"
            )
        return a

    return clips(name, config.dim_in), None if target is None else clips(target, config.dim_out)
