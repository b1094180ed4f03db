"""How a run is looked at while it goes; none of it changes what it computes."""

import dataclasses

from mbjax.training.profile import Profile
from mbjax.training.time_spent import age_of_process
from mbjax.training.tracker import module


@dataclasses.dataclass(frozen=True)
class Watching:
    """began_s: seconds before the loop's start at which its process began. profile: steps to trace
    on process 0. track: a name of tracker.NAMES, or ''."""

    began_s: float = 0.0
    profile: Profile | None = None
    track: str = ""

    @classmethod
    def of_command(cls, profile: str, track: str) -> "Watching":
        """From a command's options; ValueError or ImportError, in one line, before any work."""
        if track:
            module(track)
        return cls(age_of_process(), Profile.parse(profile) if profile else None, track)
