"""The form for CPUs against the plain one: outputs, gradients, a step of AdamW."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from mbjax.models import attention_cpu, attention_plain
from mbjax.models.attention import AttentionWeights, MLPWeights, choose
from mbjax.models.dstformer import DSTformer, DSTformerConfig

C, HEADS = 16, 2


def weights(kind, hidden=C):
    """Random parameters, LayerNorm's too: at their start (1, 0) folding them would do nothing."""
    rng = np.random.default_rng(0)
    sizes = {"scale_C": (C,), "bias_C": (C,)}
    if kind is AttentionWeights:
        sizes |= {"qkv_kernel_Cx3C": (C, 3 * C), "qkv_bias_3C": (3 * C,),
                  "proj_kernel_CxC": (C, C), "proj_bias_C": (C,)}  # fmt: skip
    else:
        sizes |= {"fc1_kernel_CxF": (C, hidden), "fc1_bias_F": (hidden,),
                  "fc2_kernel_FxC": (hidden, C), "fc2_bias_C": (C,)}  # fmt: skip
    # 0.3: logits of order 1; where softmax is nearly one-hot, its gradient is rounding.
    return kind(
        **{name: rng.normal(0, 0.3, size).astype(np.float32) for name, size in sizes.items()}
    )


def clips(frames, batch=1):
    rng = np.random.default_rng(frames)
    return rng.normal(size=(2, batch, frames, 17, C)).astype(np.float32)


def value_and_gradients(sublayer, x, some_weights, d_out, *args):
    def run(x, some_weights):
        out, pull = jax.vjp(lambda x, w: sublayer(x, w, *args), x, some_weights)
        return out, pull(d_out)

    return jax.jit(run)(x, some_weights)


def close(a, b):
    """float32 alone: sums of thousands of terms in another order differ by about 1e-6."""
    for ours, plain in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        size = float(jnp.abs(plain).max())
        np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize("over", ["joints", "frames"])
@pytest.mark.parametrize("frames", [1, 9, 27, 81, 243])
def test_attention_and_its_gradients_are_those_of_plain(frames, over):
    x, d_out = clips(frames)
    args = x, weights(AttentionWeights), d_out, HEADS, over, jnp.dtype("float32")
    ours = value_and_gradients(attention_cpu.attention, *args)
    close(ours, value_and_gradients(attention_plain.attention, *args))


@pytest.mark.parametrize("hidden", [C // 2, 4 * C])
def test_mlp_and_its_gradients_are_those_of_plain(hidden):
    x, d_out = clips(9)
    args = x, weights(MLPWeights, hidden), d_out, jnp.dtype("float32")
    ours = value_and_gradients(attention_cpu.mlp, *args)
    close(ours, value_and_gradients(attention_plain.mlp, *args))


def test_large_logits_do_not_overflow():
    """exp(200) is not finite in float32; the largest logit has to be taken off first."""
    x, d_out = clips(9)
    large = weights(AttentionWeights)
    large = large._replace(qkv_kernel_Cx3C=large.qkv_kernel_Cx3C * 30)
    args = x, large, d_out, HEADS, "frames", jnp.dtype("float32")
    out, gradients = value_and_gradients(attention_cpu.attention, *args)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((out, gradients)))
    close(out, attention_plain.attention(x, large, HEADS, "frames", jnp.dtype("float32")))


@pytest.mark.parametrize("kind", ["joints", "frames", "mlp"])
def test_bfloat16_is_as_near_to_float32_as_plain_is(kind):
    x, d_out = clips(9)
    if kind == "mlp":
        pair, w, args = (attention_cpu.mlp, attention_plain.mlp), weights(MLPWeights), ()
    else:
        pair = attention_cpu.attention, attention_plain.attention
        w, args = weights(AttentionWeights), (HEADS, kind)
    low, high = jnp.dtype("bfloat16"), jnp.dtype("float32")
    exact = value_and_gradients(pair[1], x, w, d_out, *args, high)
    errors = []
    for sublayer in pair:
        found = value_and_gradients(sublayer, x, w, d_out, *args, low)
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True)
        errors.append(max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs))
    # bfloat16 has 8 bits: 0.4 % a factor. Here fewer products are in it than in the plain form.
    assert 1e-5 < errors[0] < 1.5 * errors[1]


def test_a_bfloat16_stream_stays_one():
    x, _ = clips(9)
    out = attention_cpu.mlp(jnp.bfloat16(x), weights(MLPWeights), jnp.dtype("bfloat16"))
    assert out.dtype == jnp.bfloat16


@pytest.mark.slow
def test_a_step_of_adamw_is_that_of_plain():
    x, target = (rows[..., :3] for rows in clips(9))
    after = {}
    for form in ("plain", "cpu"):
        config = DSTformerConfig(
            dim_feat=16, dim_rep=8, depth=1, num_heads=2, maxlen=9, attention=form
        )
        graphdef, params, other = nnx.split(DSTformer(config, rngs=nnx.Rngs(0)), nnx.Param, ...)
        # eps: Adam divides by a gradient's size, and those of k's bias are mere rounding.
        optimizer = optax.adamw(1e-2, eps=1e-4)

        @jax.jit
        def step(params, graphdef=graphdef, other=other, optimizer=optimizer):
            def loss(params):
                return jnp.square(nnx.merge(graphdef, params, other)(x) - target).mean()

            updates, _ = optimizer.update(jax.grad(loss)(params), optimizer.init(params), params)
            return optax.apply_updates(params, updates)

        after[form] = nnx.to_pure_dict(step(params))
    # A hundredth of the step: gradients agree to 1e-5 of theirs.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-4), *after.values())


def test_auto_is_this_form_on_a_cpu():
    assert choose("auto", "cpu") == "cpu"
    assert choose("auto", "tpu") != "cpu"
    with pytest.raises(ValueError, match="runs on cpu, not on tpu"):
        choose("cpu", "tpu")
