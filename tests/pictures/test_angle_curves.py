"""Curves of joint angles: what is drawn is what the file of angles says."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mbjax.motion import angles, world
from mbjax.pictures import angle_curves
from tests.recipes.walking import motion_of, walker


@pytest.mark.parametrize("fps", [30.0, None])
def test_curves_of_two_persons(tmp_path, monkeypatch, fps):
    pose, _ = walker(40)
    in_world = world.of_motion(motion_of(pose, pose[:25], first=6))
    figures = []
    monkeypatch.setattr(plt, "close", figures.append)
    angle_curves.draw(in_world, tmp_path / "a.png", fps)
    monkeypatch.undo()
    (figure,) = figures
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    axes = np.array(figure.axes).reshape(-1, 2)
    assert [axis.get_title() for axis in axes[0]] == ["person 1", "person 2"]
    one = in_world.persons[1]
    found = angles.joint_angles(one.body_TxJx3, one.feet_Tx2x3x3)
    knee = {line.get_label(): line for line in axes[1, 1].lines}
    for side in ("left", "right"):
        column = found[:, angles.NAMES.index(f"{side}_knee_flexion")]
        np.testing.assert_allclose(knee[side].get_ydata(), column)
        np.testing.assert_allclose(knee[side].get_xdata(), (6 + np.arange(25)) / (fps or 1))
    assert knee["left"].get_color() != knee["right"].get_color()
    assert axes[-1, 0].get_xlabel() == ("s" if fps else "frame")
    plt.close(figure)
