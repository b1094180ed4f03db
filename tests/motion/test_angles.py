"""Joint angles of poses whose angles are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mbjax.motion import feet
from mbjax.motion.angles import NAMES, joint_angles
from mbjax.pose.skeleton import INDEX

THIGH, SHIN, UPPER, FORE = 0.42, 0.41, 0.29, 0.25


def posed(facing=0.0, **degrees):
    """(1, 17, 3), feet (1, 2, 3, 3): someone upright who faces +z, bent as `degrees` say (NAMES).

    Flexion turns a limb about the person's left, abduction about the way ahead; facing: a turn of
    the whole person about the vertical.
    """
    pose, turns = np.zeros((17, 3)), np.zeros((2, 3, 3))
    of = lambda name: degrees.get(name, 0.0)  # noqa: E731
    trunk = Rotation.from_euler(
        "ZXY", [of("trunk_right_lean"), of("trunk_forward_lean"), 0], degrees=True
    )
    pose[INDEX["belly"]] = trunk.apply([0, 0.25, 0])
    pose[INDEX["neck"]] = trunk.apply([0, 0.5, 0])
    pose[INDEX["nose"]], pose[INDEX["head"]] = trunk.apply([0, 0.63, 0.1]), trunk.apply([0, 0.8, 0])
    shoulders = trunk * Rotation.from_euler("y", of("trunk_rotation"), degrees=True)
    # The pelvis goes with the trunk's lean, which its belly is part of.
    for place, (side, name, sign) in enumerate((("l", "left", 1), ("r", "right", -1))):

        def limb(frame, flexion, abduction, more=0.0, sign=sign):
            # Abducted first, then flexed: the cardan order of the definition.
            turn = Rotation.from_euler("XZ", [-flexion, sign * abduction], degrees=True)
            bent = turn * Rotation.from_euler("x", more, degrees=True)
            return frame.apply(turn.apply([0, -1, 0])), frame.apply(bent.apply([0, -1, 0])), bent

        hip = trunk.apply([0.1 * sign, 0, 0])
        thigh, shin, bent = limb(
            trunk,
            of(f"{name}_hip_flexion"),
            of(f"{name}_hip_abduction"),
            of(f"{name}_knee_flexion"),
        )
        pose[INDEX[f"{side}hip"]] = hip
        pose[INDEX[f"{side}knee"]] = hip + THIGH * thigh
        pose[INDEX[f"{side}ankle"]] = hip + THIGH * thigh + SHIN * shin
        ankle = Rotation.from_euler("x", -of(f"{name}_ankle_dorsiflexion"), degrees=True)
        turns[place] = (trunk * bent * ankle).as_matrix()
        shoulder = pose[INDEX["neck"]] + shoulders.apply([0.17 * sign, 0, 0])
        upper, fore, _ = limb(
            shoulders, of(f"{name}_shoulder_flexion"), of(f"{name}_shoulder_abduction"),
            -of(f"{name}_elbow_flexion"),
        )  # fmt: skip
        pose[INDEX[f"{side}shoulder"]] = shoulder
        pose[INDEX[f"{side}elbow"]] = shoulder + UPPER * upper
        pose[INDEX[f"{side}wrist"]] = shoulder + UPPER * upper + FORE * fore
    whole = Rotation.from_euler("y", facing, degrees=True)
    return whole.apply(pose)[None], (whole.as_matrix() @ turns)[None]


def angles_of(*args, **degrees):
    return dict(zip(NAMES, joint_angles(*posed(*args, **degrees))[0], strict=True))


@pytest.mark.parametrize("facing", [0.0, 90.0, -135.0])
@pytest.mark.parametrize(
    "degrees",
    [
        {},
        {"left_knee_flexion": 65, "left_hip_flexion": 40},
        {"right_hip_flexion": -15, "right_hip_abduction": 20},
        {"left_ankle_dorsiflexion": 12, "right_ankle_dorsiflexion": -30},
        {"right_shoulder_flexion": 150, "right_elbow_flexion": 80},
        {"left_shoulder_abduction": 60, "left_shoulder_flexion": 10},
        {"trunk_forward_lean": 25},
        {"trunk_right_lean": -10},
        {"trunk_rotation": 30, "left_elbow_flexion": 90},
        {"left_hip_flexion": 30, "left_hip_abduction": 10, "left_knee_flexion": 70,
         "left_ankle_dorsiflexion": 5, "right_shoulder_flexion": -20, "right_elbow_flexion": 15},
    ],
)  # fmt: skip
def test_known_angles_come_back(facing, degrees):
    found = angles_of(facing, **degrees)
    for name in NAMES:
        assert found[name] == pytest.approx(degrees.get(name, 0), abs=1e-6), name


def test_left_and_right_are_mirror_images():
    left = angles_of(left_hip_flexion=30, left_hip_abduction=10, left_knee_flexion=50)
    right = angles_of(right_hip_flexion=30, right_hip_abduction=10, right_knee_flexion=50)
    for name in NAMES:
        if name.startswith("left"):
            assert left[name] == pytest.approx(right[name.replace("left", "right")])


def test_a_derived_foot_is_at_a_right_angle():
    pose, _ = posed(left_knee_flexion=40, left_hip_flexion=20)
    found = dict(zip(NAMES, joint_angles(pose, feet.directions(pose))[0], strict=True))
    assert found["left_ankle_dorsiflexion"] == pytest.approx(0, abs=1e-6)
