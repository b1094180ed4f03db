"""The synthetic body: SMPL's layout, a closed surface, joints where they should be."""

import numpy as np
import pytest

from mbjax.body import smpl, stand_in, triangles


@pytest.fixture(scope="module")
def body():
    return smpl.load("synthetic")


def edges_of(faces):
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)


@pytest.mark.parametrize("num_vertices", [6890, 500])
def test_layout_and_a_closed_surface(num_vertices):
    arrays = stand_in.arrays(num_vertices)
    V, F = num_vertices, 2 * num_vertices - 4
    shapes = {
        "v_template": (V, 3), "shapedirs": (V, 3, 10), "posedirs": (V, 3, 207), "f": (F, 3),
        "J_regressor": (24, V), "weights": (V, 24), "kintree_table": (2, 24),
        "J_regressor_h36m": (17, V), "mean_pose": (144,), "mean_shape": (10,),
    }  # fmt: skip
    assert {name: array.shape for name, array in arrays.items()} == shapes
    faces, verts = arrays["f"].astype(int), arrays["v_template"]
    edges, counts = edges_of(faces)
    assert (counts == 2).all() and V - len(edges) + F == 2, "closed, of genus 0"
    a, b, c = (verts[faces[:, i]] for i in range(3))
    litres = 1000 * np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert 40 < litres < 80, "faces look outwards, and it is as large as a person"
    assert 1.7 < np.ptp(verts[:, 1]) < 1.85
    assert (arrays["weights"] >= 0).all() and ((arrays["weights"] > 0).sum(1) <= 4).all()
    np.testing.assert_allclose(arrays["weights"].sum(1), 1)


def test_joints_lie_inside_and_are_mirrored(body):
    joints = body.body.joint_template_Jx3
    left, right = [1, 4, 7, 10, 13, 16, 18, 20, 22], [2, 5, 8, 11, 14, 17, 19, 21, 23]
    # 1e-6 m: float32.
    np.testing.assert_allclose(joints[left] * [-1, 1, 1], joints[right], atol=1e-6)
    seventeen = body.regressor_17xV @ body.body.template_Vx3
    np.testing.assert_allclose(seventeen[[4, 5, 6]], joints[[1, 4, 7]], atol=1e-5)
    np.testing.assert_allclose(seventeen[[14, 15, 16]], joints[[17, 19, 21]], atol=1e-5)


def test_bent_elbow_moves_the_forearm_alone(body):
    pose = np.zeros(72)
    pose[3 * 18 + 1] = -np.pi / 2
    rest, _ = body.body(np.zeros(72), np.zeros(10))
    bent, joints = body.body(pose, np.zeros(10))
    moved = np.linalg.norm(bent - rest, axis=1)
    x = rest[:, 0]
    assert moved[x < 0.3].max() < 0.01 and moved[x > 0.6].min() > 0.1
    # The forearm of 25 cm now points forwards.
    assert joints[20, 2] - joints[18, 2] == pytest.approx(0.25, abs=0.01)


def test_coefficients_change_what_they_say(body):
    def height_and_span(number):
        betas = np.zeros(10)
        betas[number] = 2
        verts, _ = body.body(np.zeros(72), betas)
        return np.ptp(verts[:, 1]), np.ptp(verts[:, 0])

    tall, wide = height_and_span(7)  # the belly: neither
    assert height_and_span(0)[0] > 1.05 * tall  # size
    assert height_and_span(2)[0] > tall + 0.04  # legs
    assert height_and_span(3)[1] > wide + 0.06  # arms


def test_a_sphere_from_its_distances_and_fewer_of_its_vertices():
    verts, faces = triangles.closed_surface(
        lambda p: np.linalg.norm(p, axis=1) - 0.5, (-0.6,) * 3, (0.6,) * 3, 0.1
    )
    # 1e-6: Newton's steps onto the surface, to float64's slope.
    np.testing.assert_allclose(np.linalg.norm(verts, axis=1), 0.5, atol=1e-6)
    normals = triangles.vertex_normals(verts, faces)
    assert (np.sum(normals * verts / 0.5, axis=1) > 0.97).all()
    fewer, faces = triangles.decimate(verts, faces, 60)
    assert len(fewer) == 60 and len(faces) == 2 * 60 - 4
    with pytest.raises(ValueError, match="cannot be brought to 3 vertices"):
        triangles.decimate(fewer, faces, 3)
    with pytest.raises(ValueError, match="has 300 to 6890"):
        stand_in.arrays(20)
