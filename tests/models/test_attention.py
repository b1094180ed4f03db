"""Each form of the sublayers against the plain one: outputs, gradients, a step of AdamW."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbjax.devices import sharding
from mbjax.models import attention
from mbjax.models.attention import FORMS, AttentionWeights, MLPWeights
from mbjax.models.dstformer import DSTformerConfig

C, F, HEADS, JOINTS = 32, 48, 4, 17
OTHERS = [name for name in FORMS if name != "plain"]
# Largest difference as a share of the largest value: sums in another order; measured 2e-6.
TOLERANCE = 2e-5


def weights(kind):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(0.1 * rng.standard_normal(shape), jnp.float32)

    if kind == "mlp":
        return MLPWeights(1 + draw(C), draw(C), draw(C, F), draw(F), draw(F, C), draw(C))
    return AttentionWeights(
        1 + draw(C), draw(C), draw(C, 3 * C), draw(3 * C), draw(C, C), draw(C)
    )  # fmt: skip


def array(seed, frames, dtype, clips=2):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal((clips, frames, JOINTS, C)), dtype)


def sublayer(form, kind, dtype):
    """(x, weights) -> the sublayer's output, under the form's name."""
    if kind == "mlp":
        return lambda x, w: FORMS[form].mlp(x, w, dtype)
    return lambda x, w: FORMS[form].attention(x, w, HEADS, kind, dtype)


@functools.cache
def output_and_gradients(form, kind, frames, dtype):
    x, grad = array(1, frames, dtype), array(2, frames, dtype)

    @jax.jit
    def both(x, w, grad):
        y, back = jax.vjp(sublayer(form, kind, jnp.dtype(dtype)), x, w)
        return y, back(grad)

    return both(x, weights(kind), grad)


def assert_close(got, wanted):
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        one, other = (np.asarray(a, np.float32) for a in (one, other))
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE * np.abs(other).max())


@pytest.mark.parametrize("frames", [1, 9, 27])
@pytest.mark.parametrize("kind", ["joints", "frames", "mlp"])
@pytest.mark.parametrize("form", OTHERS)
def test_outputs_and_gradients_are_the_plain_ones(form, kind, frames):
    assert_close(
        output_and_gradients(form, kind, frames, "float32"),
        output_and_gradients("plain", kind, frames, "float32"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("frames", [81, 243])
@pytest.mark.parametrize("kind", ["joints", "frames", "mlp"])
@pytest.mark.parametrize("form", OTHERS)
def test_long_clips_too(form, kind, frames):
    test_outputs_and_gradients_are_the_plain_ones(form, kind, frames)


@pytest.mark.parametrize("kind", ["joints", "frames", "mlp"])
@pytest.mark.parametrize("form", OTHERS)
def test_bfloat16_rounds_alike(form, kind):
    """No form is further from float32 than the plain one is, give or take a half."""
    exact = output_and_gradients("plain", kind, 27, "float32")
    ours, plain = (output_and_gradients(name, kind, 27, "bfloat16") for name in (form, "plain"))
    for one, other, wanted in zip(*map(jax.tree.leaves, (ours, plain, exact)), strict=True):
        assert one.dtype == other.dtype
        error, allowed = (
            np.linalg.norm(np.asarray(a, np.float32) - wanted) / np.linalg.norm(wanted)
            for a in (one, other)
        )
        # 8 bits of mantissa: each rounding is 0.2 %.
        assert error < 1.5 * allowed + 2e-3 and error < 0.1


@pytest.mark.parametrize("kind", ["joints", "frames"])
@pytest.mark.parametrize("form", OTHERS)
def test_frames_and_joints_do_not_leak(form, kind):
    """Attention over joints sees its own frame alone; over frames, its own joint."""
    x = array(1, 20, "float32", clips=1)
    changed = x.at[:, 7, 5].set(x[:, 0, 0])
    f = jax.jit(sublayer(form, kind, jnp.float32))
    differs = np.asarray(jnp.abs(f(x, weights(kind)) - f(changed, weights(kind))).max(-1) > 1e-6)[0]
    expected = np.zeros_like(differs)
    expected[7 if kind == "joints" else slice(None), slice(None) if kind == "joints" else 5] = True
    np.testing.assert_array_equal(differs, expected)


@pytest.mark.parametrize("form", OTHERS)
def test_a_step_of_adamw_is_the_same(form):
    optimizer = optax.adamw(1e-3)
    x, params = array(1, 9, "float32"), {kind: weights(kind) for kind in ("joints", "mlp")}

    def stepped(name):
        def loss(params):
            y = sublayer(name, "joints", jnp.float32)(x, params["joints"])
            return jnp.square(sublayer(name, "mlp", jnp.float32)(y, params["mlp"])).mean()

        @jax.jit
        def step(params):
            grads = jax.grad(loss)(params)
            updates, _ = optimizer.update(grads, optimizer.init(params), params)
            return grads, optax.apply_updates(params, updates)

        return step(params)

    (grads, after), (plain_grads, plain_after) = stepped(form), stepped("plain")
    # A first step is the sign of the gradient: entries that are all but zero may take either.
    for got, wanted, gradient, plain in zip(
        *map(jax.tree.leaves, (after, plain_after, grads, plain_grads)), strict=True
    ):
        sure = np.abs(plain) > 1e-4 * np.abs(plain).max()
        assert sure.mean() > 0.6
        np.testing.assert_allclose(got[sure], wanted[sure], atol=1e-6)
        np.testing.assert_allclose(gradient, plain, atol=2e-5 * np.abs(plain).max())


@pytest.mark.parametrize("form", OTHERS)
def test_each_device_computes_its_own_clips(form):
    """Under a mesh the form sends nothing but sums of weight gradients."""
    if jax.device_count() != 8:
        pytest.skip("needs the eight CPU devices that conftest.py asks for")
    mesh = sharding.make_mesh()
    x, w = array(1, 9, "float32", clips=8), weights("joints")
    f = sublayer(form, "joints", jnp.float32)

    def gradients(x, w):
        return jax.grad(lambda x, w: jnp.square(f(x, w)).sum(), argnums=(0, 1))(x, w)

    rows, whole = sharding.batch_sharding(mesh), sharding.replicated(mesh)
    compiled = (
        jax.jit(
            sharding.traced_on(mesh, gradients), in_shardings=(rows, whole),
            out_shardings=(rows, whole),
        ).lower(x, w).compile()
    )  # fmt: skip
    assert "all-gather" not in compiled.as_text() and "all-to-all" not in compiled.as_text()
    split = compiled(jax.device_put(x, rows), jax.device_put(w, whole))
    assert_close(split, jax.jit(gradients)(x, w))


@pytest.mark.parametrize("form", OTHERS)
def test_parameters_that_are_split_are_gathered_and_their_gradients_come_back_split(form):
    """As fsdp keeps them: the same numbers, whatever each device holds."""
    if jax.device_count() != 8:
        pytest.skip("needs the eight CPU devices that conftest.py asks for")
    mesh = sharding.make_mesh(fsdp=4)
    x, w = array(1, 9, "float32", clips=8), weights("joints")
    f = sublayer(form, "joints", jnp.float32)

    def gradients(x, w):
        return jax.grad(lambda x, w: jnp.square(f(x, w)).sum(), argnums=(0, 1))(x, w)

    rows = sharding.batch_sharding(mesh)
    split = jax.tree.map(
        lambda a: jax.NamedSharding(mesh, jax.P("fsdp") if a.ndim > 1 else jax.P()), w
    )
    on_mesh = jax.jit(
        sharding.traced_on(mesh, gradients), in_shardings=(rows, split), out_shardings=(rows, split)
    )
    got = on_mesh(jax.device_put(x, rows), jax.device_put(w, split))
    assert {a.sharding.spec for a in jax.tree.leaves(got[1])} == {jax.P("fsdp"), jax.P()}
    assert_close(got, jax.jit(gradients)(x, w))


def test_auto_is_a_form_that_runs_there():
    for platform, name in attention.AUTOMATIC.items():
        assert attention.choose("auto", platform) == name
        assert platform in FORMS[name].platforms


def test_wrong_names_and_platforms_are_one_line():
    with pytest.raises(ValueError, match="attention is 'flash'; it must be one of auto, plain"):
        DSTformerConfig(attention="flash")
    with pytest.raises(ValueError, match="'fused', which runs on cpu, tpu, not on gpu"):
        attention.choose("fused", "gpu")


def test_a_pack_wastes_little():
    from mbjax.models.attention_packed import frames_of_a_pack

    assert [frames_of_a_pack(T) for T in (1, 6, 9, 27, 81, 243)] == [1, 6, 9, 9, 9, 9]
    for frames in range(1, 300):
        size = frames_of_a_pack(frames)
        assert min(frames, 7) <= size <= 15 and -frames % size <= max(2, 0.15 * frames)
