"""The rig: its names, its T-pose, and that it goes where the joints are."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mbjax.motion import feet, one_skeleton, rig
from mbjax.motion.motion import stature
from mbjax.pose.skeleton import INDEX, LIMBS
from tests.recipes.walking import walker


def animation_of(pose):
    height = stature(pose)
    body, lengths = one_skeleton.fit(pose, height)
    return body, rig.animate(body, feet.directions(body), lengths, height)


def turning_person(frames=40, seed=0):
    """A walker who turns about and whose every limb wanders."""
    pose, _ = walker(frames)
    rng = np.random.default_rng(seed)
    wander = np.cumsum(rng.normal(0, 0.04, (frames, 17, 3)), axis=0)
    turns = Rotation.from_rotvec(wander.reshape(-1, 3)).as_matrix().reshape(frames, 17, 3, 3)
    about = Rotation.from_rotvec(np.outer(np.linspace(0, 8, frames), [0, 1, 0])).as_matrix()
    out = np.array(pose)
    for parent, joint in LIMBS:
        bone = turns[:, joint] @ (pose[:, joint] - pose[:, parent])[..., None]
        out[:, joint] = out[:, parent] + (about @ bone)[..., 0]
    return out


@pytest.mark.parametrize("name", rig.RIGS)
def test_names_are_as_many_as_bones_and_each_once(name):
    names = rig.RIGS[name]
    assert len(set(names)) == len(names) == len(rig.BONES)
    assert not any("nose" in bone.lower() for bone in names)


def test_names_that_programs_look_for():
    at = {name: dict(zip(rig.BONES, names, strict=True)) for name, names in rig.RIGS.items()}
    assert at["mixamo"]["left_thigh"] == "mixamorig:LeftUpLeg"
    assert at["mixamo"]["right_forearm"] == "mixamorig:RightForeArm"
    assert at["blender"]["right_toes"] == "toe.R" and at["blender"]["hips"] == "hips"
    assert (
        at["vrm"]["left_upper_arm"] == "leftUpperArm" and at["vrm"]["right_shin"] == "rightLowerLeg"
    )
    assert at["cmu"]["right_foot"] == "RightFoot" and at["cmu"]["spine"] == "LowerBack"
    assert rig.PARENTS[rig.BONE["left_shoulder"]] == rig.BONE["chest"]
    assert rig.PARENTS[rig.BONE["left_thigh"]] == rig.BONE["hips"] == 0
    assert all(parent < bone for bone, parent in enumerate(rig.PARENTS))


def test_the_t_pose_faces_z_and_stands_on_the_floor():
    _, animation = animation_of(turning_person())
    rest = animation.rest_positions()
    ends = rest + animation.ends_Bx3
    left, right = (rest[rig.BONE[f"{side}_hand"]] for side in ("left", "right"))
    np.testing.assert_allclose(left, right * [-1, 1, 1], atol=1e-12)
    assert left[0] > 0.5 and abs(left[2]) < 1e-12
    assert ends[rig.BONE["left_toes"]][2] > 0.1  # ahead
    assert ends[:, 1].min() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(rest[rig.BONE["head"]][[0, 2]], 0, atol=1e-12)


def test_the_rig_goes_where_the_joints_are():
    """Shoulders and spine are bones that begin beside the joints' line: a few mm are lost there."""
    body, animation = animation_of(turning_person())
    starts = animation.positions()[:, : len(rig.BONES)]
    for bone, joint in rig.JOINT_OF_BONE.items():
        off = np.linalg.norm(starts[:, rig.BONE[bone]] - body[:, INDEX[joint]], axis=-1)
        # Hips of this person wander apart by some degrees, which a pelvis does not.
        assert np.median(off) < 0.03, bone


def test_a_walker_is_met_exactly():
    body, animation = animation_of(walker(60)[0])
    starts = animation.positions()[:, : len(rig.BONES)]
    for bone, joint in rig.JOINT_OF_BONE.items():
        np.testing.assert_allclose(
            starts[:, rig.BONE[bone]], body[:, INDEX[joint]], atol=1e-6, err_msg=bone
        )


def test_turns_are_rotations_and_the_face_looks_ahead():
    pose, _ = walker(30, (0.6, 0, 0.8))
    _, animation = animation_of(pose)
    turns = animation.turns_TxBx3x3
    identity = np.tile(np.eye(3), (*turns.shape[:2], 1, 1))
    np.testing.assert_allclose(turns @ turns.swapaxes(-1, -2), identity, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turns), 1)
    whole = np.eye(3)
    for bone in ("hips", "spine", "chest", "neck", "head"):
        whole = whole @ turns[:, rig.BONE[bone]]
    np.testing.assert_allclose(whole[..., 2], np.tile([0.6, 0, 0.8], (30, 1)), atol=1e-6)


def test_limbs_without_length_or_turned_right_round():
    pose = turning_person(3)
    pose[:, INDEX["rwrist"]] = pose[:, INDEX["relbow"]]
    pose[:, INDEX["lankle"]] = pose[:, INDEX["lhip"]]
    pose[0] *= [1, -1, 1]
    pose[1, INDEX["nose"]] = pose[1, INDEX["neck"]]
    _, animation = animation_of(pose)
    assert np.isfinite(animation.positions()).all()
    np.testing.assert_allclose(np.linalg.det(animation.turns_TxBx3x3), 1)


@pytest.mark.parametrize("target", [(0, -1.0, 0), (0, 1.0, 0), (0.3, -0.2, 0.9), (0, 0, 0)])
def test_the_shortest_turn(target):
    down = np.array([0, -1.0, 0])
    turn = rig.shortest_turn(down, np.array([target]))[0]
    length = np.linalg.norm(target)
    np.testing.assert_allclose(turn @ down, target / length if length else down, atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
