"""People of another build than those a network learnt from, lifted as if they were of theirs.

A network takes depth from how much shorter a bone looks than it is, so it errs on people (or on a
dataset's definition of joints) whose trunk is longer beside the legs than any it has seen. Trunk
and head lie mostly along the picture: their length is known after a first lifting. They are scaled
to the learnt proportion in the keypoints, which are lifted again, and scaled back in the poses;
from afar, pictures of scaled bones are scaled pictures of bones, so nothing but depth changes.
Long trunks are found well; short ones mostly not, since a network takes them for leaning ones.

Shapes in names: T frames of a person, J joints (17).
"""

import numpy as np

from mbjax.pose import skeleton

# Less than this off, the measured proportion says little: cameras that look down on people from
# 3 m change it by 9 % at 25 degrees and by 14 % at 40. And scaling costs as much as it brings.
TOLERATED = 0.2
_WILD = 2.5  # times as long: no build, but a lifting that failed
_SEEN = 0.3  # confidence from which a joint counts as seen
_MIN_FRAMES = 5  # with trunk and legs seen

_NECK = skeleton.INDEX["neck"]
_TRUNK = [skeleton.INDEX[name] for name in ("belly", "neck", "nose", "head")]
_BONE = {joint: bone for bone, (_, joint) in enumerate(skeleton.LIMBS)}
_LEGS = [skeleton.INDEX[name] for name in sum(skeleton.LEGS, ())]
_NEEDED = [skeleton.ROOT, *_TRUNK, *_LEGS, skeleton.INDEX["lhip"], skeleton.INDEX["rhip"]]
_ARMS = [skeleton.INDEX[side + name] for side in "lr" for name in ("shoulder", "elbow", "wrist")]


def trunk_per_leg(pose_TxJx3: np.ndarray) -> float:
    """The way from root to head along the joints over the length of a leg, medians over frames."""
    lengths_TxL = skeleton.limb_lengths(pose_TxJx3)
    trunk_T = lengths_TxL[:, [_BONE[joint] for joint in _TRUNK]].sum(axis=-1)
    legs_T = lengths_TxL[:, [_BONE[joint] for joint in _LEGS]].sum(axis=-1)
    return float(2 * np.median(trunk_T) / max(np.median(legs_T), 1e-9))


def factor(pose_TxJx3: np.ndarray, confidence_TxJ: np.ndarray, learnt: float) -> float:
    """How many times as long as `learnt` (people's trunk_per_leg) a person's trunk is, 1 if little.

    pose: as first lifted. 1 too where trunk and legs are not seen together.
    """
    seen_T = (confidence_TxJ[:, _NEEDED] >= _SEEN).all(axis=-1)
    if np.count_nonzero(seen_T) < _MIN_FRAMES:
        return 1.0
    found = trunk_per_leg(pose_TxJx3[seen_T]) / learnt
    off = max(found, 1 / max(found, 1e-9))
    return found if 1 + TOLERATED < off < _WILD else 1.0


def scale_trunk(motion_TxJxC: np.ndarray, by: float) -> np.ndarray:
    """Trunk, neck and head `by` times as long, arms carried along; 1 / by undoes it."""
    scaled = np.array(motion_TxJxC)
    root_Tx1xC = motion_TxJxC[:, skeleton.ROOT, None]
    scaled[:, _TRUNK] = root_Tx1xC + by * (motion_TxJxC[:, _TRUNK] - root_Tx1xC)
    scaled[:, _ARMS] += (scaled[:, _NECK] - motion_TxJxC[:, _NECK])[:, None]
    return scaled


def scale_trunk_seen(x_TxJx3: np.ndarray, by: float) -> np.ndarray:
    """The same of a network's input: x, y and confidence, all 0 for what no frame has."""
    scaled = np.array(x_TxJx3)
    scaled[..., :2] = scale_trunk(x_TxJx3[..., :2], by)
    return np.where(x_TxJx3.any(axis=-1, keepdims=True), scaled, 0).astype(x_TxJx3.dtype)
