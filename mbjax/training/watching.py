"""How a run is looked at while it goes; none of it changes what it computes."""

import dataclasses

from mbjax.training.profile import Profile
from mbjax.training.time_spent import TimeSpent, age_of_process
from mbjax.training.tracker import module


@dataclasses.dataclass(frozen=True)
class Watching:
    """spent: the clock of this start. profile: steps to trace on process 0. track: a name of
    tracker.NAMES, or ''."""

    spent: TimeSpent = dataclasses.field(default_factory=TimeSpent)
    profile: Profile | None = None
    track: str = ""

    @classmethod
    def of_command(cls, profile: str, track: str) -> "Watching":
        """From a command's options; ValueError or ImportError, in one line, before any work."""
        if track:
            module(track)
        steps = Profile.parse(profile) if profile else None
        return cls(TimeSpent(age_of_process()), steps, track)
