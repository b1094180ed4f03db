"""The free body's pose and shape from 17 joints."""

import numpy as np
import pytest

from mbjax.body import fit, smpl, stand_in
from mbjax.data.records import RecordReader
from mbjax.pose.rotations import axis_angle_to_matrix


@pytest.fixture(scope="module")
def body():
    return smpl.load(stand_in.NAME)


@pytest.mark.slow
def test_real_joints_are_met_to_two_centimetres(body):
    record = RecordReader("sample:motion3d", "test")[0]
    joints_TxJx3 = (np.asarray(record["pose"]) * record["metres_per_unit"])[:90]
    found = fit.fit(body, joints_TxJx3)
    assert found.error_mm_T.mean() < 20  # 16.5 over the whole split
    again_TxJx3 = body.joints()(
        axis_angle_to_matrix(found.pose_Tx72.reshape(-1, 24, 3)), found.betas_S,
        trans=found.trans_Tx3,
    )  # fmt: skip
    error_T = 1000 * np.linalg.norm(again_TxJx3 - joints_TxJx3, axis=-1).mean(-1)
    # What is written to a file is what was measured; float32 sums over 6,890 vertices.
    np.testing.assert_allclose(error_T, found.error_mm_T, atol=0.1)


@pytest.mark.slow
def test_a_body_is_found_again_wherever_it_stands(body):
    """Turned and moved joints give the same body, turned and moved."""
    record = RecordReader("sample:motion3d", "test")[1]
    joints_TxJx3 = (np.asarray(record["pose"]) * record["metres_per_unit"])[:30]
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    here = fit.fit(body, joints_TxJx3)
    there = fit.fit(body, joints_TxJx3 @ turn.T + [3.0, 0.5, -2.0])
    # Descents from turned beginnings part a little; both end at the same body.
    np.testing.assert_allclose(there.error_mm_T.mean(), here.error_mm_T.mean(), atol=1.0)
    np.testing.assert_allclose(there.betas_S, here.betas_S, atol=0.2)


@pytest.mark.parametrize("joints", [np.zeros((4, 16, 3)), np.full((4, 17, 3), np.nan)])
def test_what_are_not_joints_is_refused(body, joints):
    with pytest.raises(ValueError, match="finite numbers"):
        fit.fit(body, joints)
