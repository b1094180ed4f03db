import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from mbjax.data import detector_mistakes
from mbjax.data.plan import row_keys
from mbjax.pose import skeleton

FRAMES = 40
ALL = ConfigDict({"swap_sides": 0.5, "hide_limbs": 0.5, "hide_spans": 0.5})


def keys(rows, seed=0):
    return row_keys(jax.random.key(seed), 0, rows)


def numbered(rows, frames=FRAMES):
    """Every value its own: none is 0, none like another."""
    values = 1 + np.arange(rows * frames * 17 * 3, dtype=np.float32)
    return jnp.asarray(values.reshape(rows, frames, 17, 3))


def runs(hidden_T):
    """The lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden_T.astype(int), [0]])))
    return edges[1::2] - edges[::2]


def test_a_span_is_one_stretch_of_up_to_half_of_the_clip():
    spans = np.stack(
        [detector_mistakes.spans(key, 1, FRAMES, 1.0)[0] for key in keys(300)]
    )  # fmt: skip
    lengths = [runs(span) for span in spans]
    assert all(len(length) == 1 for length in lengths)
    lengths = np.concatenate(lengths)
    assert lengths.max() <= FRAMES // 2 and lengths.min() >= 1
    # Every frame is as likely as another, those at both ends included: 300 clips of about a fifth
    # hidden, so four standard errors are 0.1.
    assert np.ptp(spans.mean(axis=0)) < 0.2


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_is_of_clips(share):
    rows = 600
    x = np.asarray(detector_mistakes.hide_spans(keys(rows), numbered(rows), share))
    hidden = x == 0
    assert (hidden.all((2, 3)) == hidden.any((2, 3))).all(), "everything of a frame or nothing"
    # Four standard errors of a share of 600 clips.
    assert abs(hidden.any((1, 2, 3)).mean() - share) <= 4 * np.sqrt(share * (1 - share) / rows)


def test_limbs_are_hidden_from_elbow_and_knee_on_each_on_its_own():
    rows = 300
    x = np.asarray(detector_mistakes.hide_limbs(keys(rows), numbered(rows), 0.5))
    hidden_BxTxJ = (x == 0).any(-1)
    assert (hidden_BxTxJ == (x == 0).all(-1)).all(), "x, y and confidence together"
    limbs = {name: skeleton.JOINTS.index(name) for limb in detector_mistakes.LIMBS for name in limb}
    others = [j for j in range(17) if j not in limbs.values()]
    assert not hidden_BxTxJ[..., others].any()
    of_limb = np.stack([hidden_BxTxJ[..., limbs[limb[0]]] for limb in detector_mistakes.LIMBS])
    for limb, hidden in zip(detector_mistakes.LIMBS, of_limb, strict=True):
        np.testing.assert_array_equal(hidden_BxTxJ[..., limbs[limb[1]]], hidden)
    per_clip = of_limb.any(axis=2).mean(axis=1)
    assert abs(per_clip - 0.5).max() < 4 * np.sqrt(0.25 / rows)
    # Four independent halves: all four together in a sixteenth of the clips.
    assert 0.01 < of_limb.any(axis=2).all(axis=0).mean() < 0.13


def test_swapped_sides_lose_nothing_and_leave_the_trunk():
    rows = 200
    clean = numbered(rows)
    x = np.asarray(detector_mistakes.swap_sides(keys(rows), clean, 1.0))
    np.testing.assert_array_equal(np.sort(x, axis=2), np.sort(clean, axis=2))
    trunk = [skeleton.JOINTS.index(name) for name in ("root", "belly", "neck", "nose", "head")]
    np.testing.assert_array_equal(x[:, :, trunk], np.asarray(clean)[:, :, trunk])
    mirrored = np.asarray(clean)[:, :, skeleton.MIRROR]
    swapped = (x == mirrored).all(-1) & (x != clean).any(-1)
    joint = skeleton.JOINTS.index
    for arm in ("elbow", "wrist"):
        for side in "lr":
            np.testing.assert_array_equal(
                swapped[..., joint(side + arm)], swapped[..., joint("lshoulder")]
            )
    np.testing.assert_array_equal(swapped[..., joint("rankle")], swapped[..., joint("lhip")])
    # Every arm pair and leg pair is swapped for a while, and not always both at once.
    assert swapped[..., joint("lhip")].any(1).all() and swapped[..., joint("lwrist")].any(1).all()
    assert (swapped[..., joint("lhip")] != swapped[..., joint("lwrist")]).any()


def test_what_a_row_gets_depends_on_its_key_alone():
    all_keys, x = keys(6), numbered(6)
    whole = detector_mistakes.add(all_keys, x, ALL)
    order = np.array([4, 1])
    some = detector_mistakes.add(all_keys[order], x[order], ALL)
    np.testing.assert_array_equal(some, np.asarray(whole)[order])


def test_one_kind_is_the_same_whatever_the_others_do():
    x = numbered(20)
    alone = ConfigDict({"swap_sides": 0.0, "hide_limbs": 0.5, "hide_spans": 0.0})
    both = ConfigDict({"swap_sides": 0.5, "hide_limbs": 0.5, "hide_spans": 0.0})
    np.testing.assert_array_equal(
        np.asarray(detector_mistakes.add(keys(20), x, alone)) == 0,
        np.asarray(detector_mistakes.add(keys(20), x, both)) == 0,
    )


@pytest.mark.parametrize("shares, ramp", [(ALL, 0.0), (ConfigDict(dict.fromkeys(ALL, 0.0)), 1.0)])
def test_none_at_all_is_the_clip_itself(shares, ramp):
    x = numbered(5)
    np.testing.assert_array_equal(detector_mistakes.add(keys(5), x, shares, ramp), x)


def test_a_clip_of_one_frame():
    x = np.asarray(detector_mistakes.hide_spans(keys(9), numbered(9, frames=1), 1.0))
    np.testing.assert_array_equal(x, np.zeros_like(x))
