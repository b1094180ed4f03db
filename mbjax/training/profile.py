"""A trace of some steps of a run, for TensorBoard's profiler (XProf) and Perfetto."""

import pathlib
import re

import jax

FOLDER = "profile"


class Profile:
    """Steps `first` to `last` of this process, into `folder`/profile; the host waits at both ends.

    Its events bear the names of the model's modules, which are name scopes.
    """

    def __init__(self, first: int, last: int):
        self.first, self.last = first, last
        self._folder: pathlib.Path | None = None
        self._running = False

    @classmethod
    def parse(cls, text: str) -> "Profile":
        """'steps 100..110' (or '100..110'); ValueError for anything else."""
        found = re.fullmatch(r"(?:steps\s+)?(\d+)\.\.(\d+)", text.strip())
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"--profile {text!r} should read 'steps FIRST..LAST', from step 1")
        return cls(int(found[1]), int(found[2]))

    def keep_in(self, folder: pathlib.Path, workdir) -> None:
        """folder: where the process' files lie on disk. workdir: as the user calls it."""
        self._folder, self._shown = folder, workdir

    def begin_trace(self) -> None:
        """Before the first of the steps; a run that continues behind it has no trace."""
        if self._folder:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # thousands of events of the host's own functions
            jax.profiler.start_trace(self._folder / FOLDER, profiler_options=options)
            self._running = True

    def after(self, step: int, result) -> str:
        """Ends the trace once `step`, if it is the last, is computed; where it was written."""
        if not (self._running and step == self.last):
            return ""
        jax.block_until_ready(result)
        self.close()
        return f"traced steps {self.first} to {step}: tensorboard --logdir {self._shown / FOLDER}"

    def close(self) -> None:
        """Ends a trace that is running."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
