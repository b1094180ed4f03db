"""Motion capture in metres to clips of 3D motion: jumps mended, windows cut, units normalised.

T frames of a recording, J = 17 joints.
"""

import fnmatch

import numpy as np

from data_prep.windows import cut_source
from mbjax.pose.skeleton import INDEX, ROOT

# Metres to the unit that image-normalised poses (Human3.6M: half the image's width) live in. The
# release gives the number without a reason; inferred: under weak perspective a metre at depth Z is
# 2 f / (w Z) of that unit, and with Human3.6M's cameras (f 1145 px, w 1000 px) 0.298 is a person
# 7.7 m away. Human3.6M's own actors, 3 to 8 m away, measure 0.3 to 0.75 per metre, so bodies come
# out as small as the smallest there and moving ones stay inside the image for longer.
UNITS_PER_METRE = 0.298


# World axes to ours (x right, y down, z away, of somebody who looks along the world's horizon).
UP = {
    "y": np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "z": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.eye(3),
}
# How much of a standing body's way from ankles to neck is along the axis that points up; and how
# far from zero its lowest ankles are, in metres: the floor is there.
_UPRIGHT, _FLOOR = 0.8, (-0.15, 0.35)


def matches(name: str, patterns: str) -> bool:
    """Whether a recording's name, without folders or ending too, fits a pattern of a list."""
    stem = name.rsplit(".", 1)[0]
    return any(
        fnmatch.fnmatch(text, pattern)
        for pattern in patterns.split(",")
        if pattern
        for text in (name, stem, stem.rsplit("/", 1)[-1])
    )


def up_axis(pose_TxJx3) -> str:
    """Which of `UP` points up in a recording in metres: y, unless somebody stands along z."""
    ankles_TxSx3 = pose_TxJx3[:, [INDEX["rankle"], INDEX["lankle"]]]
    way_Tx3 = pose_TxJx3[:, INDEX["neck"]] - ankles_TxSx3.mean(axis=1)
    way_3 = (way_Tx3 / np.linalg.norm(way_Tx3, axis=-1, keepdims=True)).mean(axis=0)
    if way_3[1] < -_UPRIGHT:
        return "-y"
    low, high = _FLOOR
    stands = low <= np.quantile(ankles_TxSx3[..., 2], 0.05) <= high
    return "z" if way_3[2] > _UPRIGHT and stands else "y"


def clips(pose_TxJx3, name, options, *, cover, sound_T=None, report=None):
    """(key, record) of each clip of a recording.

    pose_TxJx3: metres, camera axes (x right, y down, z away), at options.fps; cover: every frame is
    in a clip (of the test split); sound_T: clips with a frame that is not are left out of `report`.
    """
    stride = options.frames if cover else options.stride
    for clip in cut_source(name, len(pose_TxJx3), options.frames, stride, cover=cover):
        if sound_T is not None and not sound_T[clip.rows_T].all():
            report.leave_out(f"{name} {clip.first_frame}", "a joint moves as no body can")
            continue
        pose = pose_TxJx3[clip.rows_T] * UNITS_PER_METRE
        # Where in the room it happened says nothing; how it moves through the clip does.
        centre_3 = pose[:, ROOT].mean(axis=0) * [1, 0, 1]
        yield (
            f"{clip.first_frame:08d}",
            {
                "pose": (pose - centre_3).astype(np.float32),
                "metres_per_unit": 1 / UNITS_PER_METRE,
                "source": name,
                "first_frame": clip.first_frame,
                "fps": options.fps,
            },
        )


def over_jumps(pose_TxJx3, fps):
    """Interpolates over steps that no body makes: (pose, [(frame before the jump, joint)]).

    A jump is one step of a joint that leaves the mean of the steps before and after it by 4 cm
    and by what 500 m/s^2 explains, and by three times what steps two and three frames away do:
    after a hidden marker is found again, say. A twenty-fourth of a second either side is replaced
    by a straight line.
    """
    T = len(pose_TxJx3)
    if T < 10:
        return pose_TxJx3, []
    step_TxJx3 = np.diff(pose_TxJx3, axis=0)
    off_TxJ = np.zeros(step_TxJx3.shape[:2])
    usual_TxJx3 = (step_TxJx3[:-2] + step_TxJx3[2:]) / 2
    off_TxJ[1:-1] = np.linalg.norm(step_TxJx3[1:-1] - usual_TxJx3, axis=-1)

    def largest(*places):
        around = np.arange(T - 1)[:, None] + places
        return off_TxJ[np.clip(around, 0, T - 2)].max(axis=1)

    limit = max(0.04, 500 / fps**2)
    is_jump = (off_TxJ > limit) & (off_TxJ > largest(-1, 1))
    is_jump &= off_TxJ > 3 * largest(-3, -2, 2, 3)
    half = max(1, round(fps / 24))
    pose_TxJx3, jumps = pose_TxJx3.copy(), []
    for frame, joint in zip(*np.nonzero(is_jump), strict=True):
        start, end = max(frame - half, 0), min(frame + 1 + half, T - 1)
        share = np.linspace(0, 1, end - start + 1)[:, None]
        line = pose_TxJx3[start, joint] * (1 - share) + pose_TxJx3[end, joint] * share
        pose_TxJx3[start : end + 1, joint] = line
        jumps.append((int(frame), int(joint)))
    return pose_TxJx3, jumps
