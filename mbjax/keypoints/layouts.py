"""Layouts of 2D keypoints: which keypoints a detector writes, and how they become the 17 joints.

Shapes in names: K keypoints of a layout, J joints (17, mbjax.pose.skeleton.JOINTS). Works on numpy
arrays and on JAX arrays alike.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from mbjax.pose.skeleton import INDEX, JOINTS, namespace

_COCO_NAMES = (
    "nose", "leye", "reye", "lear", "rear", "lshoulder", "rshoulder", "lelbow", "relbow",
    "lwrist", "rwrist", "lhip", "rhip", "lknee", "rknee", "lankle", "rankle",
)  # fmt: skip
_HALPE_NAMES = _COCO_NAMES + (
    "head", "neck", "root", "lbigtoe", "rbigtoe", "lsmalltoe", "rsmalltoe", "lheel", "rheel",
)  # fmt: skip
# COCO-WholeBody begins with COCO's 17 and the feet.
_COCO23_NAMES = _COCO_NAMES + (
    "lbigtoe", "lsmalltoe", "lheel", "rbigtoe", "rsmalltoe", "rheel",
)  # fmt: skip
_BODY25_NAMES = (
    "nose", "neck", "rshoulder", "relbow", "rwrist", "lshoulder", "lelbow", "lwrist", "root",
    "rhip", "rknee", "rankle", "lhip", "lknee", "lankle", "reye", "leye", "rear", "lear",
    "lbigtoe", "lsmalltoe", "lheel", "rbigtoe", "rsmalltoe", "rheel",
)  # fmt: skip
_COCO18_NAMES = (
    "nose", "neck", "rshoulder", "relbow", "rwrist", "lshoulder", "lelbow", "lwrist", "rhip",
    "rknee", "rankle", "lhip", "lknee", "lankle", "reye", "leye", "rear", "lear",
)  # fmt: skip
_POSETRACK_NAMES = (
    "nose", "neck", "head", "lear", "rear", "lshoulder", "rshoulder", "lelbow", "relbow",
    "lwrist", "rwrist", "lhip", "rhip", "lknee", "rknee", "lankle", "rankle",
)  # fmt: skip
_MEDIAPIPE_NAMES = (
    "nose", "leyeinner", "leye", "leyeouter", "reyeinner", "reye", "reyeouter", "lear", "rear",
    "lmouth", "rmouth", "lshoulder", "rshoulder", "lelbow", "relbow", "lwrist", "rwrist",
    "lpinky", "rpinky", "lindex", "rindex", "lthumb", "rthumb", "lhip", "rhip", "lknee", "rknee",
    "lankle", "rankle", "lheel", "rheel", "lfoot", "rfoot",
)  # fmt: skip

_HIPS, _SHOULDERS = ("lhip", "rhip"), ("lshoulder", "rshoulder")
_EYES = ("leye", "reye")
_NO_TORSO = {"root": _HIPS, "neck": _SHOULDERS, "belly": (_HIPS, _SHOULDERS), "head": _EYES}


@dataclasses.dataclass(frozen=True)
class Layout:
    """names: the keypoints in the order of a file. rules: {joint: keypoints whose mean it is}.

    A joint without a rule is the keypoint of its own name; nested tuples are a mean of means. The
    confidence of a mean is the mean of its keypoints', of the joints in `smaller_confidence` the
    smallest. by_count: whether the number of keypoints alone tells the layout (or several).
    """

    names: tuple[str, ...]
    rules: Mapping[str, tuple] = dataclasses.field(default_factory=dict)
    smaller_confidence: tuple[str, ...] = ()
    by_count: bool = True

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def head_height(self) -> float:
        """Where a lifted head point is on somebody who stands, as a share of stature.

        If the head is left at the eyes, as in reference_compat; else see `with_head`.
        Between the eyes (0.936) and the top: networks raise the point a little. 0.975 brings the
        legs of one clip as COCO and BODY-25 within 1 % of those as Halpe-26, which has the top of
        the head (1.9 % and 3.6 % longer without).
        """
        return 0.975 if self.rules.get("head") == _EYES else 1.0


LAYOUTS = {
    "h36m17": Layout(JOINTS),
    "coco17": Layout(_COCO_NAMES, _NO_TORSO),
    "coco23": Layout(_COCO23_NAMES, _NO_TORSO),
    "halpe26": Layout(_HALPE_NAMES, {"belly": ("root", "neck")}),
    # OpenPose's COCO model; its neck is computed, and by AlphaPose from other points than these.
    # Others write 18 keypoints too.
    "coco18": Layout(_COCO18_NAMES, _NO_TORSO, by_count=False),
    "body25": Layout(_BODY25_NAMES, {"belly": ("root", "neck"), "head": _EYES}),
    "posetrack17": Layout(
        _POSETRACK_NAMES, {"root": _HIPS, "belly": (_HIPS, "neck")}, ("root", "belly")
    ),
    "mediapipe33": Layout(_MEDIAPIPE_NAMES, _NO_TORSO),
}
# Whole-body layouts begin with a body layout and its feet: the rest, face and hands, is left out.
WHOLE_BODY = {133: "coco23", 136: "halpe26"}
# How far the top of the head is past the ears, seen from the shoulders, in distances from the
# shoulders to the ears: fitted to the boxer's Halpe-26, whose head is a keypoint of its own, 7 px
# rms at 53 px from shoulders to head. From the eyes it cannot be found (24 px): a head that nods
# moves them forwards.
_HEAD_PAST_EARS = 0.75
# The same past the eyes, where no ear is ever seen: by a standing person's heights (shoulders
# 0.818, eyes 0.936 of the stature; Winter, Biomechanics and Motor Control, 2009).
_HEAD_PAST_EYES = 0.54
# What people call them.
ALIASES = {
    "h36m": "h36m17", "human36m": "h36m17", "coco": "coco17", "halpe": "halpe26",
    "openpose": "body25", "body_25": "body25", "posetrack": "posetrack17",
    "posetrack18": "posetrack17", "mediapipe": "mediapipe33", "blazepose": "mediapipe33",
    "coco133": "coco23", "wholebody": "coco23",
}  # fmt: skip


def named(layout: str) -> str:
    """The name in LAYOUTS of a layout, given by that name or an alias; ValueError if unknown."""
    name = ALIASES.get(str(layout).lower(), layout)
    if name not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}; known: {', '.join(LAYOUTS)}")
    return name


def of_count(count: int) -> tuple[str, ...]:
    """The layouts that a file of so many keypoints may have."""
    return tuple(n for n, layout in LAYOUTS.items() if layout.by_count and layout.count == count)


def from_layout(keypoints, layout: str):
    """2D keypoints of another layout as the 17 joints.

    keypoints (..., K, 2 or 3): x, y in any unit and, as a third channel, confidence.
    layout: a name in LAYOUTS or ALIASES. Returns (..., 17, 2 or 3). ValueError on an unknown layout
    or on a number of keypoints that is not the layout's.
    """
    layout = named(layout)
    own = LAYOUTS[layout]
    if keypoints.ndim < 2 or keypoints.shape[-2] != own.count or keypoints.shape[-1] not in (2, 3):
        raise ValueError(
            f"layout {layout} has {own.count} keypoints of 2 or 3 channels, got an array of shape "
            f"{tuple(keypoints.shape)}"
        )
    xp = namespace(keypoints)
    place = {name: i for i, name in enumerate(own.names)}

    def mean(rule):
        if isinstance(rule, str):
            return keypoints[..., place[rule], :]
        return sum(mean(part) for part in rule) / len(rule)

    joints = []
    for name in JOINTS:
        rule = own.rules.get(name, name)
        joint = mean(rule)
        if name in own.smaller_confidence and keypoints.shape[-1] == 3:
            confidence = xp.min(
                xp.stack([keypoints[..., place[leaf], 2] for leaf in _leaves(rule)]), axis=0
            )
            joint = xp.concat([joint[..., :2], confidence[..., None]], axis=-1)
        joints.append(joint)
    return xp.stack(joints, axis=-2)


def has_head(layout: str) -> bool:
    """Whether the top of the head is a keypoint of the layout; else its eyes stand for it."""
    return "head" in LAYOUTS[named(layout)].names


def with_head(joints_TxJx3: np.ndarray, keypoints_TxKx3: np.ndarray, layout: str) -> np.ndarray:
    """The 17 joints with the head at the top of the head, where the layout has only eyes and ears.

    joints: what `from_layout` made of the keypoints, the head between the eyes, as the release has
    it. The head goes to the line from the middle of the shoulders through that of the ears; its
    confidence is the ears'. Points that are NaN were never seen. numpy.

    The boxer at one height, lifted by `tiny` as COCO-17 and as BODY-25: metres per pixel 0.7 % from
    those as Halpe-26, legs 1.6 %, P-MPJPE 14.5 mm (2.6 %, and 26.7 mm with the head at the eyes).
    """
    if has_head(layout):
        return joints_TxJx3
    names = LAYOUTS[named(layout)].names

    def middle(left, right):
        pair_TxPx3 = keypoints_TxKx3[:, [names.index(left), names.index(right)]]
        known = ~np.isnan(pair_TxPx3).any((0, 2))
        return pair_TxPx3[:, known].mean(1) if known.any() else None

    shoulders_Tx3 = middle("lshoulder", "rshoulder")
    ears_Tx3, eyes_Tx3 = middle("lear", "rear"), middle("leye", "reye")
    from_Tx3 = eyes_Tx3 if ears_Tx3 is None else ears_Tx3
    past = _HEAD_PAST_EYES if ears_Tx3 is None else _HEAD_PAST_EARS
    if shoulders_Tx3 is None or from_Tx3 is None:
        return joints_TxJx3
    xy_Tx2 = from_Tx3[:, :2] + past * (from_Tx3[:, :2] - shoulders_Tx3[:, :2])
    result_TxJx3 = joints_TxJx3.copy()
    result_TxJx3[:, INDEX["head"]] = np.concatenate([xy_Tx2, from_Tx3[:, 2:]], axis=-1)
    return result_TxJx3


def known(joints_TxJx3: np.ndarray) -> np.ndarray:
    """The same with confidence 0 where x, y are NaN: the mean of two keypoints, one never seen.

    Its confidence, the mean of theirs, would have it count as seen. numpy.
    """
    result_TxJx3 = joints_TxJx3.copy()
    result_TxJx3[np.isnan(joints_TxJx3).any(axis=-1), 2] = 0
    return result_TxJx3


# What detectors call the ends of a foot; a toe is the mean of those that there are.
_TOES, _HEEL = ("bigtoe", "smalltoe", "foot"), "heel"


def feet_of(keypoints, layout: str):
    """Left toe, left heel, right toe, right heel (..., 4, 2 or 3) of a layout, None if it has none.

    keypoints, layout: as in from_layout.
    """
    names = LAYOUTS[named(layout)].names
    if f"l{_HEEL}" not in names:
        return None
    xp = namespace(keypoints)
    points = []
    for side in "lr":
        toes = [names.index(side + toe) for toe in _TOES if side + toe in names]
        points.append(sum(keypoints[..., toe, :] for toe in toes) / len(toes))
        points.append(keypoints[..., names.index(side + _HEEL), :])
    return xp.stack(points, axis=-2)


def _leaves(rule):
    return [rule] if isinstance(rule, str) else [leaf for part in rule for leaf in _leaves(part)]
