"""People of another build than those a network learnt from, lifted as if they were of theirs.

A network takes depth from how much shorter a bone looks than it is, so it errs on people (or on a
dataset's definition of joints) whose trunk is longer or shorter beside the legs than any it has
seen. Trunk and head are scaled to the learnt proportion in the keypoints, these are lifted again,
and the poses are scaled back: from afar, pictures of scaled bones are scaled pictures of bones, so
nothing but depth changes. The proportion is measured twice: in the picture, which takes legs of
somebody who sits for short ones, and in the poses as first lifted, where a network has made a short
trunk a leaning one. Where both are off the same way, their geometric mean counts.

Shapes in names: T frames of a person, J joints (17), L limbs (16), C 2 or 3 coordinates.
"""

import numpy as np

from mbjax.pose import skeleton

# Less than this off, a proportion says little: it varies so much with the view, and cameras that
# look down on people from 4 m change it by 7 % at 25 degrees and by 13 % at 40.
TOLERATED = 0.1
_WILD = 2.5  # times as long: no build, but a lifting that failed
_SEEN = 0.3  # confidence from which a joint counts as seen
_LONGEST = 0.9  # quantile
_MIN_FRAMES = 5  # with trunk and legs seen

_NECK = skeleton.INDEX["neck"]
_TRUNK = [skeleton.INDEX[name] for name in ("belly", "neck", "nose", "head")]
_LEGS = [[skeleton.INDEX[name] for name in leg] for leg in skeleton.LEGS]
# Bones by their places in skeleton.LIMBS, in the order of the joints that they end at.
_ENDS = [end for _, end in skeleton.LIMBS]
_TRUNK_BONES = [_ENDS.index(joint) for joint in _TRUNK]
_LEG_BONES = [[_ENDS.index(joint) for joint in leg] for leg in _LEGS]
_NEEDED = [skeleton.ROOT, *_TRUNK, *sum(_LEGS, []), skeleton.INDEX["lhip"], skeleton.INDEX["rhip"]]
_ARMS = [skeleton.INDEX[side + name] for side in "lr" for name in ("shoulder", "elbow", "wrist")]


def trunk_per_leg(pose_TxJx3: np.ndarray) -> float:
    """The way from root to head along the joints over the length of a leg, medians over frames."""
    lengths_TxL = skeleton.limb_lengths(pose_TxJx3)
    trunk, legs = (
        np.median(lengths_TxL[:, bones].sum(-1)) for bones in (_TRUNK_BONES, sum(_LEG_BONES, []))
    )
    return float(2 * trunk / max(legs, 1e-9))


def trunk_per_leg_seen(xy_TxJx2: np.ndarray) -> float:
    """The same in a picture: of the longest that trunk and legs look, but for a tenth of frames."""
    lengths_TxL = skeleton.limb_lengths(xy_TxJx2)
    longer_T = np.maximum(*(lengths_TxL[:, bones].sum(-1) for bones in _LEG_BONES))
    trunk, leg = (
        np.quantile(of_T, _LONGEST) for of_T in (lengths_TxL[:, _TRUNK_BONES].sum(-1), longer_T)
    )
    return float(trunk / max(leg, 1e-9))


def measurable(x_TxJx3: np.ndarray) -> np.ndarray:
    """(T,) bool: frames in which trunk and legs are seen together."""
    return np.asarray((x_TxJx3[..., _NEEDED, 2] >= _SEEN).all(axis=-1))


def factor(pose_TxJx3: np.ndarray, x_TxJx3: np.ndarray, learnt: float) -> float:
    """How many times as long as `learnt` (people's trunk_per_leg) a person's trunk is, 1 if little.

    pose: as first lifted. x: the keypoints, x, y and confidence in one square. 1 too where trunk
    and legs are not seen together.
    """
    seen_T = measurable(x_TxJx3)
    if np.count_nonzero(seen_T) < _MIN_FRAMES:
        return 1.0
    lifted = trunk_per_leg(pose_TxJx3[seen_T]) / learnt
    seen = trunk_per_leg_seen(x_TxJx3[seen_T, :, :2]) / learnt
    for longer in (lambda value: value, lambda value: 1 / max(value, 1e-9)):
        if all(1 + TOLERATED < longer(value) < _WILD for value in (lifted, seen)):
            return float(np.sqrt(lifted * seen))
    return 1.0


def scale_trunk(motion_TxJxC: np.ndarray, by: float) -> np.ndarray:
    """Trunk, neck and head `by` times as long, arms carried along; 1 / by undoes it."""
    scaled = np.array(motion_TxJxC)
    root_Tx1xC = motion_TxJxC[:, skeleton.ROOT, None]
    scaled[:, _TRUNK] = root_Tx1xC + by * (motion_TxJxC[:, _TRUNK] - root_Tx1xC)
    scaled[:, _ARMS] += (scaled[:, _NECK] - motion_TxJxC[:, _NECK])[:, None]
    return scaled


def scale_trunk_seen(x_TxJx3: np.ndarray, by: float) -> np.ndarray:
    """The same of keypoints: x, y and confidence, all 0 or not a number for what no frame has.

    Without the root nothing is scaled; without the neck the arms stay where they are.
    """
    known_TxJ = np.isfinite(x_TxJx3).all(axis=-1) & x_TxJx3.any(axis=-1)
    xy_TxJx2 = np.where(known_TxJ[..., None], x_TxJx3[..., :2], 0)
    scaled_TxJx2 = scale_trunk(xy_TxJx2, by)
    moved_TxJ = known_TxJ & known_TxJ[:, skeleton.ROOT, None]
    moved_TxJ[:, _ARMS] &= known_TxJ[:, _NECK, None]
    result = np.array(x_TxJx3)
    result[moved_TxJ, :2] = scaled_TxJx2[moved_TxJ]
    return result


def constants() -> dict:
    """What live/in_browser/build.js, which does the same, takes from here. Bones are pairs."""

    def pairs(bones):
        return [list(map(int, skeleton.LIMBS[bone])) for bone in bones]

    return {
        "tolerated": TOLERATED, "wild": _WILD, "seen": _SEEN, "longest": _LONGEST,
        "root": skeleton.ROOT, "neck": _NECK, "trunk": _TRUNK,
        "arms": _ARMS, "needed": _NEEDED, "trunkBones": pairs(_TRUNK_BONES),
        "legBones": [pairs(bones) for bones in _LEG_BONES],
    }  # fmt: skip
