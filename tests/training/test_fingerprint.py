"""Fingerprints of arrays: the same everywhere, and another for any other array."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

from mbjax.devices import sharding
from mbjax.training.fingerprint import Fingerprints, json_checksum

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    "array",
    [
        RANDOM.normal(size=(7, 5)).astype(np.float32), np.arange(6, dtype=np.int32),
        np.array([True, False]), RANDOM.normal(size=9).astype(ml_dtypes.bfloat16),
        np.float32(3), np.zeros((0, 3), np.float32), np.float16([1, np.inf]),
        RANDOM.normal(size=70_000).astype(np.float32),
    ],
)  # fmt: skip
def test_numpy_and_devices_agree(array):
    host, device = Fingerprints({"a": array}), Fingerprints({"a": jnp.asarray(array)})
    assert host.fetch() == device.fetch() and host.texts() == device.texts()
    assert host.combined() == device.combined()


def test_layouts_agree():
    """Whole, split over the batch's axis, over fsdp, in one process with eight devices."""
    array = RANDOM.normal(size=(16, 64)).astype(np.float32)
    mesh = sharding.make_mesh(2)
    expected = Fingerprints({"a": array}).texts()
    for spec in ((), ("data",), (None, "fsdp"), ("fsdp", "data")):
        placed = jax.device_put(array, NamedSharding(mesh, PartitionSpec(*spec)))
        assert Fingerprints({"a": placed}).texts() == expected, spec


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 199), st.integers(0, 31))
def test_every_bit_counts(entry, bit):
    array = np.random.default_rng(1).normal(size=200).astype(np.float32)
    before = Fingerprints({"a": array}).texts()
    array.view(np.uint32)[entry] ^= np.uint32(1 << bit)
    assert Fingerprints({"a": array}).texts() != before


def test_order_signs_shape_and_type_count():
    """What plain sums do not see: swapped entries, two flipped signs, zeros elsewhere."""
    array = np.arange(1, 7, dtype=np.float32)
    others = [array[::-1], -array, array.reshape(2, 3), array.astype(np.int32), array + 0]
    others[4][[0, 1]] *= -1
    others.append(np.r_[np.float32(0), array[:-1]])
    texts = [Fingerprints({"a": other}).texts()["a"] for other in [array, *others]]
    assert len(set(texts)) == len(texts)


def test_what_is_not_finite_is_named():
    tree = {"good": jnp.ones(3), "bad": {"x": jnp.array([1.0, jnp.nan]), "y": jnp.arange(2)}}
    assert Fingerprints(tree, "params/").broken() == ["params/bad/x"]


def test_json_in_any_order():
    assert json_checksum({"a": 1.5, "b": [1]}) == json_checksum({"b": [1], "a": 1.5})
    assert json_checksum({"a": 1.5}) != json_checksum({"a": 1.25})
