import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbjax.tasks.oneshot.losses import supervised_contrastive


@pytest.mark.slow
def test_agrees_with_reference(golden):
    values = golden("supcon.npz")
    features = jnp.asarray(values["features"])
    # float32 sums of 16 terms in another order.
    loss = supervised_contrastive(features, jnp.asarray(values["labels"]))
    np.testing.assert_allclose(loss, values["loss"], rtol=1e-6)
    np.testing.assert_allclose(
        supervised_contrastive(features), values["loss_unlabelled"], rtol=1e-6
    )


def unit(rng, shape):
    features = rng.standard_normal(shape)
    return jnp.asarray(features / np.linalg.norm(features, axis=-1, keepdims=True), jnp.float32)


def test_against_the_definition():
    features, labels = unit(np.random.default_rng(0), (6, 1, 8)), np.array([0, 1, 0, 2, 1, 0])
    z = np.asarray(features[:, 0], np.float64)
    terms = []
    for i in range(6):
        positives = [j for j in range(6) if j != i and labels[j] == labels[i]]
        if positives:  # row 3 is alone in its class
            all_others = sum(np.exp(z[i] @ z[j] / 0.2) for j in range(6) if j != i)
            terms.append(
                np.mean([np.log(np.exp(z[i] @ z[j] / 0.2) / all_others) for j in positives])
            )
    expected = -np.mean(terms) * 0.2 / 0.07
    assert len(terms) == 5
    found = supervised_contrastive(features, jnp.asarray(labels), temperature=0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32


@pytest.mark.slow
def test_the_loss_and_its_gradient_are_finite_without_any_pair():
    features = unit(np.random.default_rng(0), (4, 1, 8))
    value, gradient = jax.value_and_grad(supervised_contrastive)(features, jnp.arange(4))
    assert value == 0 and not np.asarray(gradient).any()


def test_pulling_a_class_together_lowers_it():
    features, labels = unit(np.random.default_rng(0), (6, 1, 8)), jnp.array([0, 0, 1, 1, 2, 2])
    together = features.at[1::2].set(features[::2])
    assert supervised_contrastive(together, labels) < supervised_contrastive(features, labels)
