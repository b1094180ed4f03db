"""Predicted cycles, read off the text of a TPU program: loops, kernels, modules, directions."""

import json

import pytest

from mbjax.devices import chips
from mbjax.speed import cycles

CHIP = chips.Chip("x", 1, 100, 1000, 400, 2, 256, (), clock_ghz=1.0)

# Shortened from a program of the TPU compiler.
TEXT = """HloModule jit_step, is_scheduled=true

%body.3 (arg: (f32[], s32[])) -> (f32[], s32[]) {
  %fusion.1 = bf16[8,4]{1,0:T(8,128)(2,1)} fusion(%a), kind=kLoop, metadata={op_name="jit(step)/while/body/jvp(mlp)/dot_general"}, backend_config={"window_config":{"estimated_cycles":"1000"}}
}

ENTRY %main.5 (p: f32[16,16]) -> f32[16,16] {
  %while.1 = (f32[], s32[]) while(%t), condition=%cond.2, body=%body.3, backend_config={"known_trip_count":{"n":"4"}}
  %copy.7 = bf16[4,243,17,3,8,64]{5,2,4,1,0,3:T(8,128)(2,1)} copy(%x), metadata={op_name="jit(step)/transpose(jvp(attention_joints))/add_any"}, backend_config={"window_config":{"estimated_cycles":"9000"}}
  %attention_frames.2 = bf16[4,17,243,512]{3,2,1,0} custom-call(%x), custom_call_target="tpu_custom_call", metadata={op_name="jit(step)/jvp(attention_frames)/shard_map/pallas_call"}, backend_config={"custom_call_config":{"body":"ABC","cost_estimate":{"flops":"200000000","transcendentals":"5","bytes_accessed":"1000000"}}}
  %mlp.3 = bf16[4]{0} custom-call(%x), custom_call_target="tpu_custom_call", metadata={op_name="jit(step)/transpose(jvp(mlp))/pallas_call"}, backend_config={"custom_call_config":{"cost_estimate":{"flops":"100","transcendentals":"0","bytes_accessed":"3000000"}}}
  ROOT %fusion.9 = f32[16,16]{1,0} fusion(%g), metadata={op_name="jit(step)/optimizer/add"}, backend_config={"window_config":{"estimated_cycles":"500"}}
}
"""  # noqa: E501


def test_loops_count_their_trips_and_kernels_their_slower_rate():
    found = {one.name: one for one in cycles.operations(TEXT, CHIP)}
    assert found["fusion.1"].total == 4 * 1000
    # 2e8 FLOP at 1e14 a second are 2 us, 2,000 cycles at 1 GHz; 1e6 bytes at 1e12 are 1 us.
    assert found["attention_frames.2"].total == pytest.approx(2000)
    assert found["mlp.3"].total == pytest.approx(3000)
    assert found["mlp.3"].kernel and not found["copy.7"].kernel
    assert set(found) == {"fusion.1", "copy.7", "attention_frames.2", "mlp.3", "fusion.9"}


def test_a_summary_adds_up_by_module_and_direction():
    found = cycles.summary(TEXT, CHIP, model_flops=9.25e8)
    assert found["cycles"] == pytest.approx(4000 + 9000 + 2000 + 3000 + 500)
    assert found["kernel_cycles"] == pytest.approx(5000)
    assert found["uncounted_kernels"] == 0
    assert found["step_s"] == pytest.approx(18.5e-6)
    assert found["mfu"] == pytest.approx(9.25e8 / 18.5e-6 / 1e14)
    parts = {(part["module"], part["direction"]): part["cycles"] for part in found["parts"]}
    assert parts == {
        ("attention_joints", "backward"): 9000,
        ("mlp", "forward"): 4000,
        ("mlp", "backward"): pytest.approx(3000),
        ("attention_frames", "forward"): pytest.approx(2000),
        ("optimizer", "update"): 500,
    }
    assert [one["name"] for one in found["largest"]][:2] == ["copy.7", "fusion.1"]
    json.dumps(found)
    text = cycles.describe(found, CHIP)
    assert "1.85e+04 cycles = 0.0 ms at 1 GHz, MFU 50.0%" in text
    assert "5e+03 in kernels" in text and "fusion.1" in text and "x 4" in text


def test_kernels_without_a_cost_are_told():
    found = cycles.summary(TEXT.replace("cost_estimate", "nothing"), CHIP, model_flops=1e9)
    assert found["kernel_cycles"] == 0 and found["uncounted_kernels"] == 2
    assert "2 kernels declare neither and are left out" in cycles.describe(found, CHIP)


@pytest.mark.parametrize(
    "source, module, direction",
    [
        ("jit(step)/jvp(attention_joints)/add", "attention_joints", "forward"),
        ("jit(step)/transpose(jvp(mlp))/shard_map/mlp_backward/x", "mlp", "backward"),
        ("jit(step)/transpose(jvp())/rematted_computation/streams/mul", "streams", "recomputed"),
        ("jit(step)/optimizer/add", "optimizer", "update"),
        ("jit(step)/jvp()/reduce_sum", "other", "forward"),
        ("", "other", "forward"),
    ],
)
def test_scopes_say_where_an_operation_comes_from(source, module, direction):
    assert cycles.module_of(source) == module
    assert cycles.direction_of(source) == direction


def test_the_scopes_are_the_models():
    """A renamed scope would move its cycles to 'other' silently."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from mbjax.models.dstformer import DSTformer, DSTformerConfig

    model = DSTformer(
        DSTformerConfig(dim_feat=16, dim_rep=8, depth=1, num_heads=2, maxlen=9), rngs=nnx.Rngs(0)
    )
    text = jax.jit(lambda x: model(x)).lower(jnp.ones((1, 9, 17, 3))).as_text(debug_info=True)
    for module in cycles.MODULES[:-1]:
        assert module in text
