"""What the tests of recordings share: a body, and how it moves before the camera."""

import pytest

from mbjax.body import smpl
from tests.recipes import recordings


@pytest.fixture(scope="session")
def body():
    return smpl.load(recordings.BODY)


@pytest.fixture(scope="session")
def seen():
    return recordings.walking()
