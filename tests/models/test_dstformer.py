import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.ad_checkpoint import print_saved_residuals

from mbjax.models.attention import FORMS, KEPT
from mbjax.models.dstformer import DSTformer, DSTformerConfig, count_parameters
from tests.recipes.settings import GOLDEN

SMALL = DSTformerConfig(dim_feat=16, dim_rep=8, depth=2, num_heads=2, maxlen=9)


def build(config=SMALL, seed=0):
    return DSTformer(config, rngs=nnx.Rngs(seed))


@pytest.mark.parametrize(
    "config, parameters",
    [(DSTformerConfig.mb(), 42_466_317), (DSTformerConfig.mb_lite(), 16_001_549)],
)
def test_sizes_of_full_and_lite(config, parameters):
    assert count_parameters(nnx.eval_shape(lambda: build(config))) == parameters


@pytest.mark.slow
def test_variant_parameters_count_the_same_attention_blocks():
    """Rows a to f of table 6: ten levels of one stream hold what five of two do."""
    state = {
        (structure, depth): nnx.eval_shape(
            lambda s=structure, d=depth: build(DSTformerConfig(structure=s, depth=d))
        )
        for structure, depth in [
            ("st+ts", 5),
            ("st", 10),
            ("ts", 10),
            ("s+t", 10),
            ("st-attention", 10),
        ]
    }
    counts = {
        key: sum(path[-2:] == ("qkv", "kernel") for path, _ in nnx.to_flat_state(nnx.state(model)))
        for key, model in state.items()
    }
    assert set(counts.values()) == {20}


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["st+ts", "st", "ts", "s+t", "st-attention"])
@pytest.mark.parametrize("fusion", ["adaptive", "average"])
def test_every_variant_runs_at_every_length(structure, fusion):
    config = DSTformerConfig(
        dim_feat=16, dim_rep=8, depth=1, num_heads=2, maxlen=9, structure=structure, fusion=fusion
    )
    model = build(config)
    for frames in (1, 4, 9):
        x = jnp.ones((2, frames, 17, 3))
        assert model(x).shape == (2, frames, 17, 3)
        assert model.represent(x).shape == (2, frames, 17, 8)


def test_streams_start_with_equal_weights():
    fusion = build().ts_attn[0]
    assert not np.asarray(fusion.kernel[...]).any()
    np.testing.assert_array_equal(fusion.bias[...], [0.5, 0.5])


def test_index_zero_weighs_the_st_stream():
    model = build()
    x = jax.random.normal(jax.random.key(1), (1, 4, 17, 16))
    model.ts_attn[0].bias[...] = jnp.array([40.0, 0.0])
    np.testing.assert_allclose(model.levels()[0](x), model.blocks_st[0](x), atol=1e-6)


def of_all_parameters(model):
    x = jax.random.normal(jax.random.key(1), (2, 5, 17, 3))
    return jax.tree.leaves(nnx.jit(nnx.grad(lambda m: jnp.square(m(x)).sum()))(model))


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["st+ts", "ts"])
@pytest.mark.parametrize(
    "settings",
    [
        {"remat": True},
        {"remat": True, "remat_keep": "qkv, attention"},
        {"remat": True, "remat_keep": "sublayer,fc1"},
        {"scan_levels": True},
        {"scan_levels": True, "remat": True, "remat_keep": "attention"},
    ],
)
def test_recomputing_and_looping_change_nothing_but_the_program(settings, structure):
    sizes = {**vars(SMALL), "structure": structure}
    plain, other = build(DSTformerConfig(**sizes)), build(DSTformerConfig(**{**sizes, **settings}))
    assert jax.tree.structure(nnx.state(plain)) == jax.tree.structure(nnx.state(other))
    for a, b in zip(of_all_parameters(plain), of_all_parameters(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # other fusions round differently


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_levels_in_a_loop_are_one_body(form):
    """The program does not grow with the number of levels, whatever the form of attention."""
    x = jnp.zeros((1, 5, 17, 3))

    def lines(depth, **settings):
        config = {**vars(SMALL), "attention": form, "depth": depth, **settings}
        model = build(DSTformerConfig(**config))
        text = jax.jit(lambda m: m(x)).lower(model).as_text()
        return text.count("stablehlo.dot_general") + text.count("tanh")

    assert lines(4, scan_levels=True) == lines(2, scan_levels=True)
    assert lines(4) > 1.5 * lines(2)


@pytest.mark.slow
def test_bfloat16_computes_in_it_and_keeps_the_rest_in_float32():
    config = DSTformerConfig(**{**vars(SMALL), "dtype": "bfloat16"})
    model, exact = build(config), build()
    x = jax.random.normal(jax.random.key(1), (2, 5, 17, 3))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(nnx.state(model)))
    assert model(x).dtype == model.represent(x).dtype == jnp.float32
    text = jax.jit(lambda m, x: m(x)).lower(model, x).as_text()
    assert "bf16" in text and "exponential" in text
    softmax_lines = [line for line in text.splitlines() if "stablehlo.exponential" in line]
    assert softmax_lines and all("bf16" not in line for line in softmax_lines)
    difference = np.abs(np.asarray(model(x) - exact(x))).max()
    # Eight bits of mantissa through two levels, on outputs of about 0.1.
    assert 0 < difference < 5e-3


def test_wrong_inputs_are_named():
    model = build()
    with pytest.raises(ValueError, match="1 to 9 frames, got 10"):
        model(jnp.ones((1, 10, 17, 3)))
    with pytest.raises(ValueError, match="17 joints, 3 channels"):
        model(jnp.ones((1, 5, 18, 3)))
    with pytest.raises(ValueError, match="dim_feat 10 does not divide into 3 heads"):
        DSTformerConfig(dim_feat=10, num_heads=3)
    with pytest.raises(ValueError, match="remat_keep names fc3; it may name sublayer, qkv"):
        DSTformerConfig(remat_keep="qkv,fc3")
    with pytest.raises(ValueError, match="structure is 'stts'"):
        DSTformerConfig(structure="stts")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_forward_agrees_with_reference(form, golden, highest_precision):
    """Weights put in by name and by hand, without the project's own converter."""
    torch = pytest.importorskip("torch")
    sizes = json.loads((GOLDEN / "dstformer.json").read_text())
    model = DSTformer(DSTformerConfig(**sizes, attention=form), rngs=nnx.Rngs(0))
    weights = torch.load(GOLDEN / "dstformer.bin", weights_only=True)["model_pos"]
    state = nnx.state(model)
    for path, parameter in nnx.to_flat_state(state):
        *parents, last = map(str, path)
        name = "module." + ".".join(
            [*parents, {"kernel": "weight", "scale": "weight"}.get(last, last)]
        )
        array = weights[name].numpy()
        parameter[...] = array.T if last == "kernel" else array
    nnx.update(model, state)
    values = golden("dstformer.npz")
    # Float32 through two levels; measured 5e-7.
    np.testing.assert_allclose(model(values["x"]), values["y"], atol=1e-5)
    np.testing.assert_allclose(model.represent(values["x"]), values["rep"], atol=1e-5)
    np.testing.assert_allclose(model(values["x_short"]), values["y_short"], atol=1e-5)


@pytest.mark.parametrize("attention", ["plain", "packed", "dot_product"])
def test_remat_keeps_what_it_is_told_to(attention, capsys):
    x = jax.random.normal(jax.random.key(1), (2, 5, 17, 3))

    def kept(names):
        """How many arrays of each name the forward pass leaves for the backward pass."""
        config = {**vars(SMALL), "attention": attention, "remat": True, "remat_keep": names}
        graphdef, state = nnx.split(build(DSTformerConfig(**config)))
        print_saved_residuals(lambda state: nnx.merge(graphdef, state)(x).sum(), state)
        text = capsys.readouterr().out
        found = {name: text.count(f"named '{name}'") for name in KEPT}
        return {name: count for name, count in found.items() if count}

    sublayers = 4 * SMALL.depth  # of either kind
    assert kept("") == {}
    separate = 1 if attention == "plain" else 3  # q, k, v
    assert kept("qkv") == {"qkv": separate * sublayers}
    assert kept("attention,fc1") == {"attention": sublayers, "fc1": sublayers}
