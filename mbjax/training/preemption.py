"""Preemption: signals, agreement of all processes on one step, and exit statuses."""

import contextlib
import os
import re
import signal
from collections.abc import Callable

import jax
from jax.experimental import multihost_utils

from mbjax.atomic_files import remove_unfinished
from mbjax.devices.cluster import Ended, EndedTogether
from mbjax.remarks import one_line

# Exit status of a run that was told to stop and saved: start it again and it continues.
EXIT_START_AGAIN = 75


class Stopped(EndedTogether):
    """A signal stopped the run, which has saved."""

    def __init__(self, step: int, signal_number: int = signal.SIGTERM):
        super().__init__(f"stopped at step {step}, saved; start it again to continue")
        self.exit_status = 130 if signal_number == signal.SIGINT else EXIT_START_AGAIN


class ProcessLost(Ended):
    """Another process of the run went away; this one cannot go on, and has not saved."""

    exit_status = EXIT_START_AGAIN

    def __init__(self, when: str, error: Exception):
        reason = one_line(error, 160)
        super().__init__(
            f"after {when} process {jax.process_index()} of {jax.process_count()} lost "
            f"another one ({reason}); start all again, they continue from the last checkpoint",
        )


# In the errors of the collectives of CPU, GPU and TPU where a process at the other end is gone.
_LOST = re.compile(r"gloo|nccl|UNAVAILABLE|heartbeat|socket closed|connection (reset|closed)", re.I)


@contextlib.contextmanager
def lost_processes_reported(when: Callable[[], str]):
    """Turns what the collectives raise when another process dies into ProcessLost.

    when: () -> what was reached, for the message.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if jax.process_count() > 1 and _LOST.search(str(error)):
            raise ProcessLost(when(), error) from error
        raise


def _leave(number):
    """Ends the process; what is being written is left half, under a name that nobody reads."""
    remove_unfinished()
    text = "a second signal: leaving at once; the last checkpoint that is whole stays\n"
    os.write(2, text.encode())
    os._exit(128 + number)


class StopRequest:
    """Whether the run should stop after the step it is at; to be asked once per step.

    Alone: after SIGTERM or SIGINT. As one of several processes: a signal to any of them makes all
    stop at the same step, on which JAX's preemption service agrees in the background. It listens
    for SIGTERM itself; asking it costs a microsecond and waits for nothing.
    """

    def __init__(self):
        self._caught: list[int] = []
        # From 0 in every start, as in the service: a signal before the first step counts too.
        self._asked = 0

    @property
    def signal_number(self) -> int:
        return self._caught[0] if self._caught else signal.SIGTERM

    def stops_now(self) -> bool:
        """Whether this step is the run's last; the same for all processes."""
        if not jax.distributed.is_initialized():
            return bool(self._caught)
        self._asked += 1
        return multihost_utils.reached_preemption_sync_point(self._asked)

    @contextlib.contextmanager
    def listening(self):
        """A second signal ends the process at once. In a thread, whoever runs us handles them."""
        several = jax.distributed.is_initialized()

        def handle(number, _frame):
            if self._caught and not (several and number == signal.SIGTERM):
                _leave(number)
            self._caught.append(number)
            if several:
                os.kill(os.getpid(), signal.SIGTERM)  # which tells the other processes

        numbers = (signal.SIGINT,) if several else (signal.SIGTERM, signal.SIGINT)
        try:
            before = {n: signal.signal(n, handle) for n in numbers}
        except ValueError:  # not in the main thread
            before = {}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
