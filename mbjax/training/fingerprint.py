"""Fingerprints of arrays: 32 bits that do not depend on where and in how many pieces they lie.

An array's fingerprint is the sum, modulo 2^32, of its entries' bits, each mixed with the entry's
number. Sums of integers are the same in any order, so a mesh of any shape, one host and numpy
agree bit for bit; the mixing is one-to-one, so a change of one entry always changes the sum, and
other changes go unseen once in 2^32.
"""

import functools
import json
from collections.abc import Iterator, Mapping

import google_crc32c
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from mbjax.devices import sharding

_STRIDE = 0x9E3779B1
_BLOCK = 1 << 16  # entries that numpy mixes at a time: they stay in the cache


def named_arrays(tree, prefix: str = "") -> Iterator[tuple[str, object]]:
    """('blocks/0/kernel', array) of a tree's leaves, named as Orbax names them, in that order."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        named[prefix + "/".join(_key(entry) for entry in path)] = leaf
    yield from sorted(named.items())


def _key(entry) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)


class Fingerprints:
    """Of the arrays of a tree: begun when made, on the devices; fetched when read.

    Making one waits for nothing, so the arrays may be donated to the next step right away.
    """

    def __init__(self, tree, prefix: str = ""):
        self._named = dict(named_arrays(tree, prefix))
        self._kinds = {
            name: f"{np.dtype(array.dtype).name}{list(array.shape)}".replace(" ", "")
            for name, array in self._named.items()
        }
        self._values = _begun(self._named)
        self._named.clear()

    def fetch(self) -> dict[str, tuple[int, int]]:
        """{name: (fingerprint, how many entries are not finite)}."""
        values = jax.device_get(self._values)
        return {name: (int(value[0]), int(value[1])) for name, value in values.items()}

    def texts(self) -> dict[str, str]:
        """{name: 'float32[64,3]:0a1b2c3d'}."""
        return {name: f"{self._kinds[name]}:{v:08x}" for name, (v, _) in self.fetch().items()}

    def broken(self) -> list[str]:
        """Names of the arrays with entries that are not finite."""
        return [name for name, (_, count) in self.fetch().items() if count]

    def combined(self) -> str:
        """One for all, eight hexadecimal digits."""
        return text_checksum("".join(f"{n} {t};" for n, t in self.texts().items()))


def text_checksum(text: str) -> str:
    """CRC-32C of a text, eight hexadecimal digits."""
    return f"{google_crc32c.value(text.encode()):08x}"


def json_checksum(value: Mapping) -> str:
    """Of a JSON object, whatever the order of its names and however it is written."""
    return text_checksum(json.dumps(value, sort_keys=True))


def _begun(named):
    """The values of all arrays: those of one mesh are one program."""
    values, by_mesh = {}, {}
    for name, array in named.items():
        if isinstance(array, jax.Array):
            mesh = array.sharding.mesh if isinstance(array.sharding, NamedSharding) else None
            by_mesh.setdefault(mesh, {})[name] = array
        else:
            values[name] = of_numpy(np.asarray(array))
    for mesh, arrays in by_mesh.items():
        values.update(_run(mesh, arrays))
    return values


def _run(mesh, arrays):
    if mesh is None or jax.process_count() == 1 or sharding.platform_of(mesh) != "cpu":
        return _on_devices(mesh)(arrays)
    # CPUs run programs side by side: sums of two of them over the same processes can meet in
    # different orders, and wait for one another for ever.
    jax.block_until_ready(arrays)
    return jax.block_until_ready(_on_devices(mesh)(arrays))


@functools.cache
def _on_devices(mesh):
    whole = NamedSharding(mesh, PartitionSpec()) if mesh is not None else None
    return jax.jit(
        lambda arrays: {name: _of_jax(array) for name, array in arrays.items()},
        out_shardings=whole,
    )


@jax.jit  # traced once a shape, not once an array: most arrays of a state share a few shapes
def _of_jax(array):
    floating = jnp.issubdtype(array.dtype, jnp.floating)
    broken = ~jnp.isfinite(array) if floating else jnp.zeros(array.shape, bool)
    if array.dtype == jnp.bool_:
        array = array.astype(jnp.uint8)
    width = array.dtype.itemsize
    bits = jax.lax.bitcast_convert_type(array, jnp.dtype(f"uint{8 * min(width, 4)}"))
    if width > 4:  # an entry is two words
        broken = jnp.stack([broken, jnp.zeros_like(broken)], axis=-1)
    bits = bits.reshape(-1).astype(jnp.uint32)
    number = jnp.arange(bits.size, dtype=jnp.uint32)
    # Both sums in one pass over the memory: on a CPU six times as fast as one after the other.
    values = (_mixed(bits, number), broken.reshape(-1).astype(jnp.uint32))
    zeros = (jnp.uint32(0), jnp.uint32(0))
    return jnp.stack(jax.lax.reduce(values, zeros, _both_added, (0,)))


def _both_added(first, second):
    return first[0] + second[0], first[1] + second[1]


def of_numpy(array: np.ndarray) -> np.ndarray:
    """(fingerprint, how many entries are not finite), uint32."""
    floating = np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16"
    broken = np.uint32(np.size(array) - np.isfinite(array).sum()) if floating else np.uint32(0)
    width = min(array.dtype.itemsize, 4)
    flat = np.ascontiguousarray(array).reshape(-1).view(f"u{width}")
    total = 0
    for start in range(0, flat.size, _BLOCK):
        bits = flat[start : start + _BLOCK].astype(np.uint32)
        number = np.arange(start, start + bits.size, dtype=np.uint32)
        total += int(_mixed(bits, number).sum(dtype=np.uint64))
    return np.array([total & 0xFFFFFFFF, broken], np.uint32)


def _mixed(bits, number):
    """MurmurHash3's finaliser (public domain, A. Appleby), of an entry and its number."""
    constant = np.uint32
    h = bits ^ (number * constant(_STRIDE))
    h = (h ^ (h >> constant(16))) * constant(0x85EBCA6B)
    h = (h ^ (h >> constant(13))) * constant(0xC2B2AE35)
    return h ^ (h >> constant(16))
