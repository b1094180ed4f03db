"""What several tests share: golden values, a tiny training config, small datasets."""

import atexit
import contextlib
import importlib.util
import os
import shutil
import tempfile

from tests.recipes.settings import GOLDEN, QUICK_TO_COMPILE, TINY_SETTINGS

# Before JAX starts: eight devices on the CPU, so that sharded runs are tested too.
os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count=8 {QUICK_TO_COMPILE}")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Runs in processes of their own compile the same programs; the first keeps them for the rest.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _cache = tempfile.mkdtemp(prefix="mbjax-tests-")
    atexit.register(shutil.rmtree, _cache, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"

# torch's CUDA build imports triton, which ends the process where TensorFlow was loaded before it
# (TensorFlow 2.21, triton 3.7).
if importlib.util.find_spec("triton"):
    import triton  # noqa: F401

import jax
import numpy as np
import pytest

from mbjax import configuration


@pytest.fixture(scope="session")
def golden():
    """golden('losses.npz') is its arrays by name."""

    def load(name):
        with np.load(GOLDEN / name) as file:
            return dict(file)

    return load


@pytest.fixture
def highest_precision():
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture
def tiny_config():
    """configs/pretrain.py:tiny made tinier: 16 steps, no evaluation."""
    return configuration.load("configs/pretrain.py:tiny", list(TINY_SETTINGS))


@pytest.fixture(scope="session")
def buckets_here():
    """kind -> a bucket on this machine, see recipes/buckets.py; one of each kind for all tests of a
    process, since libraries keep the address that they find first."""
    pytest.importorskip("gcp_storage_emulator", reason="the test extra brings the servers")
    from tests.recipes import buckets

    started: dict = {}
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def get(kind):
            if kind not in started:
                started[kind] = stack.enter_context(getattr(buckets, kind)())
                for name, value in started[kind].variables.items():
                    patch.setenv(name, value)
            return started[kind]

        yield get


@pytest.fixture(params=("google", "amazon"))
def bucket(request, buckets_here):
    """A bucket by one protocol and by the other."""
    return buckets_here(request.param)


@pytest.fixture
def google(buckets_here):
    """The bucket by Google's protocol alone."""
    return buckets_here("google")


@pytest.fixture
def amazon(buckets_here):
    """The bucket by Amazon's."""
    return buckets_here("amazon")


@pytest.fixture(scope="session")
def gestures(tmp_path_factory):
    """A dataset of labelled recordings: splits xsub_train, xsub_val, oneshot_train, oneshot_val."""
    from tests.recipes import (
        action as action_recipes,  # here: it needs TensorFlow, which most tests do not
    )

    return action_recipes.gestures(tmp_path_factory.mktemp("gestures"))
