"""Devices as a mesh, and where the arrays of a run live on it.

Mesh axes: `data` splits the batch; `fsdp` splits it too and, where larger than 1, the parameters
and optimizer state with it. A batch's rows go over both axes; parameters are whole on every
`data` replica.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# Entries; smaller arrays cost more to gather than to keep.
SMALLEST_SPLIT = 1024

BATCH = PartitionSpec(("data", "fsdp"))


def make_mesh(fsdp: int = 1, devices=None) -> Mesh:
    """All devices as (data, fsdp); ValueError where their number does not divide by fsdp."""
    devices = np.asarray(jax.devices() if devices is None else devices)
    if fsdp < 1 or devices.size % fsdp:
        raise ValueError(
            f"fsdp is {fsdp}, but {devices.size} devices do not divide by it; "
            f"use one of {_divisors(devices.size)}"
        )
    return Mesh(devices.reshape(-1, fsdp), ("data", "fsdp"))


def platform() -> str:
    """'cpu', 'gpu' or 'tpu': what a function that is being traced will run on."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else _platform_of_kind(device.device_kind)


def platform_of(mesh: Mesh) -> str:
    """'cpu', 'gpu' or 'tpu': what a mesh is made of."""
    return _platform_of_kind(mesh.devices.flat[0].device_kind)


def _platform_of_kind(kind):
    return "tpu" if kind.startswith("TPU") else "cpu" if kind == "cpu" else "gpu"


def traced_on(mesh: Mesh, function: Callable) -> Callable:
    """The function, which knows while it is traced what mesh it is for (`platform`, kernels)."""

    @functools.wraps(function)
    def on_mesh(*args):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args)

    return on_mesh


def describe(mesh: Mesh) -> str:
    """'4 processes, 16 TPU v5 lite devices, mesh data 4 x fsdp 4'."""
    processes = len({device.process_index for device in mesh.devices.flat})
    return (
        f"{processes} process{'es' if processes > 1 else ''}, "
        f"{mesh.size} {mesh.devices.flat[0].device_kind} device{'s' if mesh.size > 1 else ''}, "
        "mesh " + " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    )


def check_batch(batch_size: int, mesh: Mesh, accumulate: int = 1, name: str = "batch_size"):
    """ValueError, with the nearest sizes that do, where a batch does not divide by the devices."""
    parts = mesh.size * accumulate
    if batch_size < 1 or batch_size % parts:
        lower = batch_size // parts * parts
        near = [str(size) for size in (lower, lower + parts) if size > 0]
        pieces = f"{mesh.size} devices" + (f" x {accumulate} accumulated" if accumulate > 1 else "")
        raise ValueError(
            f"{name} {batch_size} does not divide by {pieces}; nearest: {' or '.join(near)}"
        )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, BATCH)


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(tree, mesh: Mesh):
    """For each array, or abstract array, of a tree: whole, or its largest axis split over fsdp."""
    parts = mesh.shape["fsdp"]

    def one(leaf):
        spec: list[str | None] = [None] * len(leaf.shape)
        candidates = [axis for axis, size in enumerate(leaf.shape) if size % parts == 0]
        if parts > 1 and candidates and leaf.size >= SMALLEST_SPLIT:
            spec[max(candidates, key=lambda axis: leaf.shape[axis])] = "fsdp"
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(one, tree)


def local_rows(sharding: NamedSharding, batch_size: int) -> np.ndarray:
    """The rows of the global batch that this process feeds, ascending."""
    slices = sharding.addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in slices]))


def _divisors(n):
    return ", ".join(str(d) for d in range(1, n + 1) if n % d == 0)
