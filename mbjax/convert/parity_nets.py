"""A whole net with its head, here and in PyTorch: what it gives, and every parameter's gradient.

In evaluation mode, with BatchNorm's statistics of the checkpoint. Bodies go through the SMPL layer
on both sides. The gradient is that of the outputs times random numbers.

Shapes in names: B batch, M persons, T frames, J joints, C channels, S shape coefficients.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.body import smpl
from mbjax.convert import heads, params
from mbjax.convert.parity import FORWARD_LIMIT, GRADIENT_LIMIT, Difference
from mbjax.convert.read import Source
from mbjax.convert.torch_io import require_torch
from mbjax.models.mesh import from_theta

LENGTHS = (1, 27)
# What nets on recordings give; the others give a body's parameters.
_RESULT = {"action": "logits", "embed": "embedding"}
_PERSONS = 2
# Of a first rotation's size; far from any singular one.
_ANGLE = 0.5


def compare(
    source: Source, body: smpl.Smpl, lengths: Sequence[int] = LENGTHS, batch: int = 2,
    say=lambda text: None,
) -> tuple[list[Difference], list[Difference]]:  # fmt: skip
    """(outputs, gradients) of a net with a head at several lengths, bounded by its maxlen.

    body: what a mesh net's parameters pose. ImportError without PyTorch.
    """
    torch = require_torch("parity reports")
    from mbjax.convert import twin_heads

    network = source.network
    encoder = dataclasses.replace(network.encoder, dtype="float32", remat=False)
    network = dataclasses.replace(network, encoder=encoder)
    rows = heads.network_rows(network)
    twin = twin_heads.make(network)
    tensors = params.to_torch(source.params, rows, source.other)
    twin.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in tensors.items()})
    layer = None
    if network.kind not in _RESULT:
        layer = twin_heads.TwinSmpl(body.arrays, body.regressor_17xV)
    forward, gradients = [], []
    for frames in sorted({min(length, network.encoder.maxlen) for length in lengths}):
        say(f"the whole net, {frames} frame(s) ...")
        inputs = _inputs(network, frames, batch)
        outputs = _there(torch, network.kind, twin, layer, inputs)
        factors = _factors(outputs)
        here, grads = _here(source, network, body, inputs, factors)
        forward += [
            Difference.of(frames, name, here[name], outputs[name].detach().numpy(), FORWARD_LIMIT)
            for name in outputs
        ]
        twin.zero_grad()
        sum((outputs[name] * torch.from_numpy(f)).sum() for name, f in factors.items()).backward()
        own = {n: p.grad.numpy() for n, p in twin.named_parameters() if p.grad is not None}
        floor = 1e-3 * max(np.abs(gradient).max() for gradient in own.values())
        trained = [row for row in rows if row.item == "params" and row.torch in own]
        gradients += [
            Difference.of(
                frames, row.torch, row.there(np.asarray(params.get(grads, row.path))),
                own[row.torch], GRADIENT_LIMIT, scale=floor,
            )
            for row in trained
        ]  # fmt: skip
    return forward, gradients


def _inputs(network, frames, batch) -> list[np.ndarray]:
    random = np.random.default_rng(frames)
    encoder = network.encoder
    shape = [batch, frames, encoder.num_joints, encoder.dim_in]
    if network.kind in _RESULT:
        shape.insert(1, _PERSONS)
    x = random.normal(0, 0.5, shape).astype(np.float32)
    x[..., 2:] = random.uniform(size=x[..., 2:].shape)
    if network.kind != "mesh_refine":
        return [x]
    theta_BxTx82 = random.normal(0, _ANGLE, (batch, frames, 82)).astype(np.float32)
    return [x, theta_BxTx82]


def _factors(outputs) -> dict[str, np.ndarray]:
    """Of the outputs that the network itself gives: bodies follow from them."""
    random = np.random.default_rng(0)
    return {
        name: random.normal(size=tuple(output.shape)).astype(np.float32)
        for name, output in outputs.items()
        if name not in ("vertices", "joints")
    }


def _here(source, network, body, inputs, factors):
    """(outputs, gradients of the parameters) in float32 at highest precision."""

    def outputs(tree):
        model = params.build(network, tree, source.other)
        found = model(*map(jnp.asarray, inputs))
        if network.kind in _RESULT:
            return {_RESULT[network.kind]: found}
        return {"rotations": found.rotations_BxTxKx3x3, "betas": found.betas_BxTxS}

    @jax.jit
    def both(tree):
        def weighted(tree):
            found = outputs(tree)
            return sum((found[name] * factor).sum() for name, factor in factors.items()), found

        return jax.grad(weighted, has_aux=True)(tree)

    with jax.default_matmul_precision("highest"):
        grads, found = jax.tree.map(np.asarray, both(source.params))
        if "betas" in found:
            vertices, _ = body.body(found["rotations"], found["betas"])
            found["vertices"] = np.asarray(vertices)
            found["joints"] = np.asarray(body.joints()(found["rotations"], found["betas"]))
    return found, grads


def _there(torch, kind, twin, layer, inputs):
    if layer is None:
        return {_RESULT[kind]: twin(torch.from_numpy(inputs[0]))}
    tensors = [torch.from_numpy(inputs[0])]
    if len(inputs) == 2:
        initial = from_theta(jnp.asarray(inputs[1]))
        tensors += [torch.from_numpy(np.array(each)) for each in initial]
    rotations, betas = twin(*tensors)
    with torch.no_grad():
        bodies = [
            layer(turns, shape)
            for turns, shape in zip(rotations.flatten(0, 1), betas.flatten(0, 1), strict=True)
        ]
        vertices, joints = (
            torch.stack(each).unflatten(0, rotations.shape[:2])
            for each in zip(*bodies, strict=True)
        )
    return {"rotations": rotations, "betas": betas, "vertices": vertices, "joints": joints}
