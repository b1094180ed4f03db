"""Bodies in motion as files, read back by libraries of their field."""

import io

import numpy as np
import pygltflib
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from mbjax.body import smpl
from mbjax.motion import body_files as body_motion_files
from mbjax.motion.body_motion import BodyMotion
from tests.recipes import body as body_recipes

T = 5


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return smpl.load(str(body_recipes.smpl_folder(tmp_path_factory.mktemp("smpl"))))


@pytest.fixture(scope="module")
def motion():
    rng = np.random.default_rng(0)
    pose, betas = rng.normal(size=(T, 72)) * 0.4, rng.normal(size=10)
    frames = np.array([3, 4, 5, 6, 7])
    trans = rng.normal(size=(T, 3))
    return BodyMotion(1, frames, *(a.astype(np.float32) for a in (pose, betas, trans)))


def y_up(points):
    return points * [1, -1, -1]


def test_amass_layout_is_the_same_body_with_z_up(body, motion, tmp_path):
    body_motion_files.amass(motion, body, tmp_path / "smpl.npz", 30.0)
    with np.load(tmp_path / "smpl.npz") as file:
        read = dict(file)
    assert read["poses"].shape == (T, 156) and read["betas"].shape == (16,)
    assert float(read["mocap_framerate"]) == 30 and str(read["gender"]) == "neutral"
    np.testing.assert_array_equal(read["poses"][:, :66], read["smpl_poses"][:, :66])
    assert not read["poses"][:, 66:].any()
    verts, _ = body.body(read["smpl_poses"], read["betas"][:10], trans=read["trans"])
    # The camera's y points down, AMASS's z up. 1e-5 m: float32.
    x, y, z = np.moveaxis(motion.verts(body), -1, 0)
    np.testing.assert_allclose(verts, np.stack([x, z, -y], axis=-1), atol=1e-5)


def test_obj_files_have_the_vertices_and_the_faces(body, motion, tmp_path):
    paths = body_motion_files.obj(motion, body, tmp_path / "obj")
    assert [path.name for path in paths] == [f"00000{n}.obj" for n in motion.frames_T]
    for path, verts in zip(paths, motion.verts(body), strict=True):
        read = trimesh.load(path, process=False)
        np.testing.assert_allclose(read.vertices, y_up(verts), atol=6e-6)  # five decimals
        np.testing.assert_array_equal(read.faces, body.faces_Fx3)


def test_gltf_poses_the_skin_as_the_body_does(body, motion, tmp_path):
    """Skinning redone from what a reader finds in the file; pose blend shapes are not in it."""
    body_motion_files.glb(motion, body, tmp_path / "body.glb", 25.0, frames=12)
    content = (tmp_path / "body.glb").read_bytes()
    file = pygltflib.GLTF2.load_from_bytes(content)
    blob = file.binary_blob()
    kinds = {5126: np.float32, 5123: np.uint16, 5125: np.uint32}

    def array(number):
        accessor = file.accessors[number]
        view = file.bufferViews[accessor.bufferView]
        raw = blob[view.byteOffset : view.byteOffset + view.byteLength]
        return np.frombuffer(raw, kinds[accessor.componentType]).reshape(accessor.count, -1)

    primitive, skin, animation = file.meshes[0].primitives[0], file.skins[0], file.animations[0]
    np.testing.assert_allclose(
        array(animation.samplers[0].input)[:, 0],
        np.array([0, *motion.frames_T, 11]) / 25,
        atol=1e-6,
    )
    assert [node.name for node in file.nodes[:3]] == ["pelvis", "left_hip", "right_hip"]
    np.testing.assert_array_equal(array(primitive.indices).reshape(-1, 3), body.faces_Fx3)
    rest = array(primitive.attributes.POSITION)
    joints, weights = array(primitive.attributes.JOINTS_0), array(primitive.attributes.WEIGHTS_0)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    bind = array(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)  # column-major
    moving = {(c.target.node, c.target.path): array(animation.samplers[c.sampler].output)[1:-1]
              for c in animation.channels}  # fmt: skip
    parents = {child: n for n, node in enumerate(file.nodes) for child in node.children or ()}
    no_correctives = {**body.arrays, "posedirs": 0 * np.asarray(body.arrays["posedirs"])}
    four = np.zeros_like(np.asarray(body.arrays["weights"]))
    for place in range(4):
        four[np.arange(len(four)), joints[:, place]] += weights[:, place]
    plain = smpl.Body.from_arrays({**no_correctives, "weights": four})
    wanted, _ = plain(motion.pose_Tx72, motion.betas_S, trans=motion.trans_Tx3)
    for t in range(T):
        world = {}
        for joint in range(24):
            local = np.eye(4)
            local[:3, :3] = Rotation.from_quat(moving[joint, "rotation"][t]).as_matrix()
            local[:3, 3] = file.nodes[joint].translation
            if (joint, "translation") in moving:
                local[:3, 3] = moving[joint, "translation"][t]
            world[joint] = world[parents[joint]] @ local if joint in parents else local
        bones = np.stack([world[j] @ bind[j] for j in range(24)])
        blended = np.einsum("vk,vkij->vij", weights, bones[joints])
        posed = np.einsum("vij,vj->vi", blended, np.c_[rest, np.ones(len(rest))])[:, :3]
        # 1e-5 m: float32 in the file, along chains of up to nine joints.
        np.testing.assert_allclose(posed, y_up(wanted[t]), atol=1e-5)
    scene = trimesh.load(io.BytesIO(content), file_type="glb")
    assert sum(len(g.faces) for g in scene.geometry.values()) == len(body.faces_Fx3)
