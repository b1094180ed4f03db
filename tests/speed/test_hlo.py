"""Collectives: read off the text of compiled programs, and those that the training step has."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbjax import configuration
from mbjax.devices import sharding
from mbjax.speed import hlo
from mbjax.tasks.pretrain import task as pretrain
from mbjax.training.step import prepared
from tests.recipes.settings import TINY_STEP

# Shortened from programs of the TPU and CPU compilers.
TEXT = """HloModule jit_step, is_scheduled=true

%body.3 (arg: (f32[], s32[])) -> (f32[], s32[]) {
  %all-reduce.1 = (f32[]{:T(128)}, bf16[8,4]{1,0:T(8,128)(2,1)}) all-reduce(%a, %b), channel_id=1, replica_groups=[1,16]<=[16], to_apply=%add, metadata={op_name="jit(step)/while/body/reduce_sum"}
}

ENTRY %main.5 (p: f32[16,16]) -> f32[16,16] {
  %while.1 = (f32[], s32[]) while(%t), condition=%cond.2, body=%body.3, backend_config={"known_trip_count":{"n":"4"}}
  %all-gather-start.2 = (f32[4,16]{1,0}, f32[16,16]{1,0}) all-gather-start(%p), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}
  %all-gather-done.2 = f32[16,16]{1,0} all-gather-done(%all-gather-start.2)
  %reduce-scatter.7 = f32[2,16]{1,0} reduce-scatter(%g), replica_groups=mesh['x'=4,'y'=2], device_ids=([2,4]T(1,0)) {'x'}, dimensions={0}, to_apply=%add
}
"""  # noqa: E501


def test_kinds_sizes_groups_and_turns_are_read():
    found = hlo.collectives(TEXT)
    assert [(c.kind, c.group, c.times, c.bytes) for c in found] == [
        ("all-reduce", 16, 4, 4 + 8 * 4 * 2),
        ("all-gather", 4, 1, 16 * 16 * 4),
        ("reduce-scatter", 4, 1, 4 * 2 * 16 * 4),
    ]
    assert found[0].source == "jit(step)/while/body/reduce_sum"
    assert hlo.summary(found)["all-reduce"] == {"count": 4, "bytes": 4 * 68}
    assert hlo.collectives("HloModule empty") == []


def test_a_loop_s_trips_are_read_off_its_condition_where_the_compiler_does_not_say_them():
    """As programs of the TPU compiler have it."""
    condition = """%cond.2 (arg: (f32[], s32[])) -> pred[] {
  %constant.6.clone = s32[]{:T(128)} constant(7), backend_config={}
  %number = s32[]{:T(128)} get-tuple-element(%arg), index=1
  ROOT %lt.3 = pred[]{:T(512)} compare(%number, %constant.6.clone), direction=LT, metadata={}
}

%body.3"""
    text = TEXT.replace('backend_config={"known_trip_count":{"n":"4"}}', "metadata={}")
    text = text.replace("%body.3", condition, 1)
    assert hlo.trips(text)["body.3"] == 7
    assert hlo.trips(TEXT)["body.3"] == 4
    assert hlo.trips(text.replace("direction=LT", "direction=NE"))["body.3"] == 1


# --- the training step on eight devices -------------------------------------------------------

FRAMES, JOINTS, WIDTH = 9, 17, 16


def compiled(*settings):
    """Collectives of the whole step, with mirror, camera, scale, noise, masks; its parameters."""
    # The form that pods run: that for CPUs takes the gradient of qkv in three pieces.
    plain = "--config.model.attention=plain"
    config = configuration.load("configs/pretrain.py:tiny", [*TINY_STEP, plain, *settings])
    task = pretrain.make_task(config)
    run = prepared(task, config, sharding.make_mesh(config.fsdp))
    batch = {"pose": jax.ShapeDtypeStruct((32, FRAMES, JOINTS, 3), jnp.float32)}
    program = run.steps["motion"].lower(run.abstract, batch)
    # Code generation for the CPU is not looked at.
    text = program.compile(compiler_options={"xla_backend_optimization_level": 0}).as_text()
    return hlo.collectives(text), jax.tree.leaves(run.abstract["params"])


def shapes_of(found):
    return collections.Counter(sizes for one in found for _, sizes in one.shapes)


def assert_gradients_once(found, params):
    """One sum over all devices: each gradient, the loss and its terms, and no more."""
    (one,) = found
    assert (one.kind, one.group) == ("all-reduce", 8)
    shapes = shapes_of(found)
    scalars = shapes.pop((), 0)
    assert 1 <= scalars <= 8, "the loss and its terms"
    # The gradients of the embeddings of time and joints are sums of one array, which the compiler
    # may add up over devices instead of both.
    shapes.pop((FRAMES, JOINTS, WIDTH), 0)
    expected = collections.Counter(tuple(n for n in leaf.shape if n > 1) for leaf in params)
    got = collections.Counter()
    for sizes, count in shapes.items():
        got[tuple(sorted(n for n in sizes if n > 1))] += count
    allowed = collections.Counter()
    for sizes, count in expected.items():
        allowed[tuple(sorted(sizes))] += count
    assert not got - allowed, f"not gradients: {got - allowed}"
    entries = sum(np.prod(sizes) * count for sizes, count in got.items())
    embeddings = (FRAMES + JOINTS) * WIDTH
    assert entries >= sum(leaf.size for leaf in params) - embeddings


@pytest.mark.slow
def test_gradients_are_summed_once_and_nothing_else_is_sent():
    found, params = compiled()
    assert_gradients_once(found, params)
    assert found[0].times == 1


@pytest.mark.slow
def test_slices_of_a_batch_send_nothing_but_their_gradients():
    """The CPU compiler sums each slice's; the TPU compiler moves the sum behind the loop."""
    found, params = compiled("--config.accumulate=2")
    assert_gradients_once(found, params)
    assert found[0].times == 2


@pytest.mark.slow
def test_split_parameters_are_gathered_and_their_gradients_summed(monkeypatch):
    monkeypatch.setattr(sharding, "SMALLEST_SPLIT", 64)
    found, params = compiled("--config.fsdp=2")
    assert {one.kind for one in found} <= {"all-reduce", "all-gather", "reduce-scatter"}
    # The embeddings of time and joints are added up before they are gathered; no row of a batch.
    embeddings = tuple(sorted((FRAMES, JOINTS, WIDTH)))
    whole = {tuple(sorted(leaf.shape)) for leaf in params} | {embeddings}
    split = sharding.state_sharding(params, sharding.make_mesh(2))
    pieces = {
        tuple(sorted(leaf_sharding.shard_shape(leaf.shape)))
        for leaf, leaf_sharding in zip(params, split, strict=True)
    }
    for one in found:
        for _, sizes in one.shapes:
            shape = tuple(sorted(sizes))
            if one.kind == "all-gather":
                assert shape in whole, f"gathered, and no parameter: {one}"
            else:
                assert not shape or shape in whole | pieces, one
    gathered = sum(one.bytes for one in found if one.kind == "all-gather")
    size = 4 * (sum(leaf.size for leaf in params) + FRAMES * JOINTS * WIDTH)
    assert 0 < gathered <= 2 * size, "forward and backward"
    summed = sum(one.bytes for one in found if one.kind != "all-gather")
    # Over pairs whole, then over the four pairs in halves.
    assert summed <= 1.5 * size + 4 * 200, "and some scalars"


@pytest.fixture(autouse=True)
def eight_devices():
    if jax.device_count() != 8:
        pytest.skip("needs the eight CPU devices that conftest.py asks for")
