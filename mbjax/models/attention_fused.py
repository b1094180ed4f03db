"""The sublayers as Pallas TPU kernels: one forward and one backward kernel each.

A kernel walks over tiles: all frames of one joint, or some frames with all their joints, where
attention is masked to rows of one frame. What runs on other devices is the same kernel,
interpreted: slow, for tests.

Shapes in names: B clips, T frames, J joints, C channels. Arrays are laid out BxJxTxC, so that both
tiles are blocks of whole (8, 128) registers; neighbouring sublayers undo each other's transposes.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from mbjax.devices import sharding
from mbjax.models import attention_kernels

# Frames of a tile over joints: a register of bfloat16 holds 16 rows.
_FRAMES = 16

_VMEM_BYTES = 100 * 2**20


def attention(x_BxTxJxC, weights, num_heads, over, dtype):
    """x plus its attention; arguments as in `attention.Form`."""
    settings = (num_heads, over, jnp.dtype(dtype), _interpreted())
    function = functools.partial(_attention, settings)
    if over == "joints":
        function = functools.partial(_frames_padded, function)
    return _by_device(function, x_BxTxJxC, weights)


def mlp(x_BxTxJxC, weights, dtype):
    """x plus its MLP; arguments as in `attention.Form`."""
    settings = (jnp.dtype(dtype), _interpreted())
    return _by_device(functools.partial(_mlp, settings), x_BxTxJxC, weights)


def _interpreted() -> bool:
    return sharding.platform() != "tpu"


def _by_device(function, x_BxTxJxC, weights):
    """The kernel on each device's own clips: the compiler cannot split a kernel by itself."""
    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.empty and mesh.size > 1 and x_BxTxJxC.shape[0] % mesh.size == 0:
        function = jax.shard_map(
            function, mesh=mesh, in_specs=(sharding.BATCH, jax.sharding.PartitionSpec()),
            out_specs=sharding.BATCH, check_vma=False,
        )  # fmt: skip
    return function(x_BxTxJxC.swapaxes(1, 2), weights).swapaxes(1, 2)


def _frames_padded(function, x_BxJxTxC, weights):
    """At least one register of frames: a tile over joints is made of whole ones."""
    frames = x_BxJxTxC.shape[2]
    missing = max(_FRAMES - frames, 0)
    padded = jnp.pad(x_BxJxTxC, ((0, 0), (0, 0), (0, missing), (0, 0)))
    return function(padded, weights)[:, :, :frames]


# --- attention ----------------------------------------------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(settings, x_BxJxTxC, weights):
    num_heads, over, dtype, interpret = settings
    tiles = Tiles(x_BxJxTxC.shape, over == "joints", interpret)

    def kernel(x_ref, *refs):
        *weight_refs, y_ref = refs
        x_RxC, _ = tiles.read(x_ref)
        y = attention_kernels.attention(
            x_RxC, _read(weight_refs, weights), tiles.mask(), num_heads, dtype
        )
        tiles.write(y_ref, y)

    # Products of one row: with qkv and proj, with all rows of its tile twice.
    products = 4 * tiles.C * tiles.C + 2 * tiles.rows * tiles.C
    cost = tiles.cost(products, num_heads * tiles.rows)
    return tiles.forward(kernel, x_BxJxTxC, _low(weights, dtype), f"attention_{over}", cost)


def _attention_forward(settings, x_BxJxTxC, weights):
    return _attention(settings, x_BxJxTxC, weights), (x_BxJxTxC, weights)


def _attention_backward(settings, saved, grad_BxJxTxC):
    num_heads, over, dtype, interpret = settings
    x_BxJxTxC, weights = saved
    tiles = Tiles(x_BxJxTxC.shape, over == "joints", interpret)

    def gradients(x_RxC, grad_RxC, weights):
        return attention_kernels.attention_backward(
            x_RxC, grad_RxC, weights, tiles.mask(), num_heads, dtype
        )

    # qkv recomputed, its gradient and its weight's; proj's two; six with all rows of the tile.
    products = 11 * tiles.C * tiles.C + 6 * tiles.rows * tiles.C
    cost = tiles.cost(products, num_heads * tiles.rows)
    name = f"attention_{over}_backward"
    return tiles.backward(gradients, x_BxJxTxC, grad_BxJxTxC, weights, dtype, name, cost)


_attention.defvjp(_attention_forward, _attention_backward)


# --- MLP ----------------------------------------------------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mlp(settings, x_BxJxTxC, weights):
    dtype, interpret = settings
    tiles = Tiles(x_BxJxTxC.shape, False, interpret)
    F = weights.fc1_bias_F.size

    def kernel(x_ref, *refs):
        *weight_refs, y_ref = refs
        x_RxC, _ = tiles.read(x_ref)
        tiles.write(y_ref, attention_kernels.mlp(x_RxC, _read(weight_refs, weights), dtype))

    return tiles.forward(
        kernel, x_BxJxTxC, _low(weights, dtype), "mlp", tiles.cost(2 * tiles.C * F, F)
    )


def _mlp_forward(settings, x_BxJxTxC, weights):
    return _mlp(settings, x_BxJxTxC, weights), (x_BxJxTxC, weights)


def _mlp_backward(settings, saved, grad_BxJxTxC):
    dtype, interpret = settings
    x_BxJxTxC, weights = saved
    tiles = Tiles(x_BxJxTxC.shape, False, interpret)
    gradients = functools.partial(attention_kernels.mlp_backward, dtype=dtype)
    F = weights.fc1_bias_F.size
    cost = tiles.cost(5 * tiles.C * F, 2 * F)  # fc1 recomputed, two gradients of each
    return tiles.backward(gradients, x_BxJxTxC, grad_BxJxTxC, weights, dtype, "mlp_backward", cost)


_mlp.defvjp(_mlp_forward, _mlp_backward)


# --- tiles --------------------------------------------------------------------------------------


def _low(weights, dtype):
    """Weights as kernels take them: matrices in `dtype`, biases as float32 rows."""
    return [w.astype(dtype) if w.ndim == 2 else w[None].astype(jnp.float32) for w in weights]


def _read(refs, weights):
    return type(weights)(*(ref[...] for ref in refs))


class Tiles:
    """How an array of shape BxJxTxC is cut: all frames of a joint, or frames of all joints."""

    def __init__(self, shape, over_joints: bool, interpret: bool):
        self.B, self.J, self.T, self.C = shape
        self.over_joints, self.interpret = over_joints, interpret
        self.frames = _FRAMES if over_joints else self.T
        self.block = (1, self.J if over_joints else 1, self.frames, self.C)
        self.rows = self.block[1] * self.frames
        self.grid = (self.B, pl.cdiv(self.T, self.frames) if over_joints else self.J)

    def read(self, *refs):
        """Tiles as RxC in float32; rows beyond the last frame are 0. One None follows them."""
        tiles = []
        for ref in refs:
            tile = ref[...].reshape(self.block[1:]).astype(jnp.float32)
            if self.T % self.frames:
                first = pl.program_id(1) * self.frames
                frame = first + jax.lax.broadcasted_iota(jnp.int32, tile.shape, 1)
                tile = jnp.where(frame < self.T, tile, 0)
            tiles.append(tile.reshape(self.rows, self.C))
        return *tiles, None

    def write(self, ref, tile_RxC):
        ref[...] = tile_RxC.reshape(self.block).astype(ref.dtype)

    def mask(self):
        if not self.over_joints:
            return None
        return attention_kernels.same_frame(self.rows, self.frames)

    def forward(self, kernel, x_BxJxTxC, weights, name, cost):
        tile = self._tile_spec()
        return self._call(
            kernel, [tile, *map(_whole, weights)], tile,
            jax.ShapeDtypeStruct(x_BxJxTxC.shape, x_BxJxTxC.dtype), name, cost,
        )(x_BxJxTxC, *weights)  # fmt: skip

    def backward(self, gradients, x_BxJxTxC, grad_BxJxTxC, weights, dtype, name, cost):
        """(gradient of x, gradients of weights). gradients: (x, grad, weights) of one tile."""
        low = _low(weights, dtype)
        count = len(low)

        def kernel(x_ref, grad_ref, *refs):
            weight_refs, grad_x_ref, grad_refs = refs[:count], refs[count], refs[count + 1 :]

            @pl.when((pl.program_id(0) == 0) & (pl.program_id(1) == 0))
            def _():
                for ref in grad_refs:
                    ref[...] = jnp.zeros(ref.shape, ref.dtype)

            x_RxC, grad_RxC, _ = self.read(x_ref, grad_ref)
            grad_x, grads = gradients(x_RxC, grad_RxC, _read(weight_refs, weights))
            self.write(grad_x_ref, grad_x)
            # Not under a condition: a product is added where it comes out of the matrix unit.
            for ref, value in zip(grad_refs, grads, strict=True):
                ref[...] += value

        tile = self._tile_spec()
        whole = list(map(_whole, low))
        shapes = [jax.ShapeDtypeStruct(w.shape, jnp.float32) for w in low]
        grad_x, *grads = self._call(
            kernel, [tile, tile, *whole], [tile, *whole],
            [jax.ShapeDtypeStruct(x_BxJxTxC.shape, x_BxJxTxC.dtype), *shapes], name, cost,
        )(x_BxJxTxC, grad_BxJxTxC, *low)  # fmt: skip
        return grad_x, type(weights)(
            *(g.reshape(w.shape).astype(w.dtype) for g, w in zip(grads, weights, strict=True))
        )

    def _tile_spec(self):
        over_joints = self.over_joints
        return pl.BlockSpec(self.block, lambda b, i: (b, 0, i, 0) if over_joints else (b, i, 0, 0))

    def cost(self, products: int, powers: int) -> Callable:
        """Of all tiles, for the compiler's schedule: products and powers of one row."""
        rows = self.rows * math.prod(self.grid)

        def of_arrays(arrays):
            moved = sum(array.size * array.dtype.itemsize for array in jax.tree.leaves(arrays))
            return pl.CostEstimate(
                flops=2 * rows * products, transcendentals=rows * powers, bytes_accessed=moved
            )

        return of_arrays

    def _call(self, kernel, in_specs, out_specs, out_shape, name, cost):
        def call(*arrays):
            return pl.pallas_call(
                kernel, grid=self.grid, in_specs=in_specs, out_specs=out_specs,
                out_shape=out_shape, name=name, interpret=self.interpret,
                cost_estimate=cost((arrays, out_shape)),
                compiler_params=pltpu.CompilerParams(
                    dimension_semantics=("arbitrary", "arbitrary"), vmem_limit_bytes=_VMEM_BYTES
                ),
            )(*arrays)  # fmt: skip

        return call


def _whole(array):
    return pl.BlockSpec(array.shape, lambda *_: (0,) * array.ndim)
