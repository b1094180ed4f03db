"""The Motion of a recording as a sequence of persons, and how it shows itself."""

import numpy as np
import pytest

from tests.recipes.walking import motion_of, walker


def test_a_sequence_of_persons():
    pose, _ = walker(12)
    motion = motion_of(pose, pose, first=3)
    assert len(motion) == 2 and motion[0].person == 1 and motion[-1] is motion.person(2)
    assert [one.person for one in motion] == [1, 2]
    with pytest.raises(IndexError):
        motion[2]
    with pytest.raises(KeyError, match=r"no person 9; there are \[1, 2\]"):
        motion.person(9)


def test_representations_are_short():
    pose, _ = walker(90)
    motion = motion_of(pose, first=3)
    assert repr(motion) == "Motion(1 person, frames 3 to 92, unit m, 30 fps)"
    assert repr(motion[0]) == "PersonMotion(person 1, frames 3 to 92, pose (90, 17, 3))"
    np.testing.assert_allclose(motion.times(motion[0])[:2], [0.1, 4 / 30])
