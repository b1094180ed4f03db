"""Several real processes of one mbjax run on this machine, over loopback, on CPU devices.

    python launch/local.py --processes 4 --devices-per-process 2 -- \\
        pretrain --config configs/pretrain.py:tiny --workdir runs/four

Lines come prefixed by the process' number. Where one process fails the others are ended, after
--grace seconds by force; the exit status is that of the first that failed (128 + signal where it
was killed). SIGTERM and Ctrl-C are passed on: the run saves and leaves with 75 or 130.

To see what a run endures:

    python launch/local.py --processes 4 --kill-every 60 --stop-every 45 -- pretrain ...

kills (SIGKILL) and freezes (SIGSTOP) one of the processes about that often, each drawn by --seed,
and starts all again until the run is at its end.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

START_AGAIN = 75


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--devices-per-process", type=int, default=1)
    parser.add_argument(
        "--restarts",
        type=int,
        default=0,
        metavar="N",
        help="start all again up to N times where one asks for it (status 75: told to stop, or "
        "left alone by another that died)",
    )
    parser.add_argument("--grace", type=float, default=20.0, metavar="SECONDS")
    for name, what in (("kill", "SIGKILL"), ("stop", "SIGSTOP")):
        parser.add_argument(
            f"--{name}-every",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help=f"{what} to one of the processes, on average so often; then start all again",
        )
    parser.add_argument(
        "--hits", type=int, default=10**9, metavar="N", help="no more of these than N (no limit)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of who is hit and when (%(default)s)")
    parser.add_argument("command", nargs="+", help="-- and a command of mbjax with its arguments")
    args = parser.parse_args(argv)
    if min(args.processes, args.devices_per_process) < 1:
        parser.error("--processes and --devices-per-process must be at least 1")
    if min(args.kill_every, args.stop_every) < 0:
        parser.error("--kill-every and --stop-every must be positive")

    told: list[int] = []  # signals to pass on; once told, nothing is started again
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: told.append(number))
    punisher = Punisher(args.kill_every, args.stop_every, args.hits, args.seed)
    start = 0
    while True:
        statuses = run_once(args, told, punisher)
        asked = START_AGAIN in statuses and start < args.restarts
        # A mistake of the user's (1, 2) is not mended by another start.
        hit = punisher.hit and not {1, 2} & set(statuses) and any(statuses)
        if told or not (asked or hit):
            break
        start += 1
        print(f"launch: statuses {statuses}; starting again ({start})", flush=True)
    failed = [status for status in statuses if status != 0]
    if not failed:
        return 0
    return failed[0] if failed[0] > 0 else 128 - failed[0]


class Punisher:
    """Kills and freezes processes of a run. hit: whether it did since `begin`."""

    def __init__(self, kill_every: float, stop_every: float, most: int, seed: int):
        self._random = random.Random(seed)
        self._every = {signal.SIGKILL: kill_every, signal.SIGSTOP: stop_every}
        self._due: dict = {}
        self._left = most
        self.hit = False

    def begin(self) -> None:
        """At the start of a run's processes."""
        self.hit, now = False, time.monotonic()
        self._due = {
            number: now + every * self._random.uniform(0.5, 1.5)
            for number, every in self._every.items()
            if every
        }

    def strike(self, processes, statuses) -> None:
        """Hits one of those that run, where it is time; once a start."""
        for number, due in self._due.items():
            alive = [n for n in range(len(processes)) if n not in statuses]
            if self._left and not self.hit and alive and time.monotonic() > due:
                victim = self._random.choice(alive)
                processes[victim].send_signal(number)
                what = "killed" if number == signal.SIGKILL else "froze"
                print(f"launch: {what} process {victim}", flush=True)
                self.hit = True
                self._left -= 1


def frozen(processes, statuses) -> list[int]:
    """Those that are stopped, where the system tells (Linux)."""
    found = []
    for number, process in enumerate(processes):
        try:
            with open(f"/proc/{process.pid}/stat", "rb") as file:
                state = file.read().rsplit(b")", 1)[1].split()[0]
        except (OSError, IndexError):
            continue
        if number not in statuses and state == b"T":
            found.append(number)
    return found


def run_once(args, told, punisher) -> list[int]:
    """Exit statuses, in the order in which the processes ended; minus the signal where killed."""
    punisher.begin()
    processes, threads = begin(args)
    statuses: dict[int, int] = {}
    passed_on, force_at, stopped_at, forced = 0, float("inf"), float("inf"), False
    while len(statuses) < len(processes):
        for number, process in enumerate(processes):
            if number not in statuses and process.poll() is not None:
                statuses[number] = process.returncode
                # After one that was killed the others cannot go on, nor save: a step and a save
                # take all of them.
                grace = 0 if process.returncode < 0 and not told else args.grace
                if process.returncode and not forced:
                    force_at = min(force_at, time.monotonic() + grace)
        alive = [process for number, process in enumerate(processes) if number not in statuses]
        for signal_number in told[passed_on:]:
            send(alive, signal_number)
            passed_on += 1
        punisher.strike(processes, statuses)
        still = frozen(processes, statuses)
        stopped_at = min(stopped_at, time.monotonic()) if still else float("inf")
        alone = still and len(still) == len(alive) < len(processes)  # the others have seen it
        if alone or time.monotonic() - stopped_at > args.grace:
            named = ", ".join(map(str, still))
            since = time.monotonic() - stopped_at
            print(f"launch: process {named} has not run for {since:.0f} s", flush=True)
            force_at, stopped_at = 0.0, float("inf")
        if alive and time.monotonic() > force_at:
            print("launch: ending those that are left", file=sys.stderr, flush=True)
            send(alive, signal.SIGKILL)
            force_at, forced = float("inf"), True
        time.sleep(0.05)
    for thread in threads:
        thread.join(timeout=5)
    return list(statuses.values())


def begin(args):
    """The processes, and the threads that print what they say."""
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(args.devices_per_process),
        # The same thing by another name, which would contradict.
        "XLA_FLAGS": " ".join(
            flag
            for flag in os.environ.get("XLA_FLAGS", "").split()
            if "xla_force_host_platform_device_count" not in flag
        ),
        "MBJAX_COORDINATOR": f"127.0.0.1:{free_port()}",
        "MBJAX_NUM_PROCESSES": str(args.processes),
        "MBJAX_HEARTBEAT_TIMEOUT": os.environ.get("MBJAX_HEARTBEAT_TIMEOUT", "10"),
    }
    processes, threads = [], []
    for number in range(args.processes):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mbjax", *args.command],
            env={**environment, "MBJAX_PROCESS_ID": str(number)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C reaches them through this process alone
        )
        processes.append(process)
        for stream, out in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            thread = threading.Thread(target=prefix, args=(number, stream, out), daemon=True)
            thread.start()
            threads.append(thread)
    return processes, threads


def send(processes, signal_number):
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal_number)


def prefix(number, stream, out):
    for line in stream:
        out.write(f"[{number}] {line}")
        out.flush()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
