"""Several real processes of one mbjax run on this machine, over loopback, on CPU devices.

    python launch/local.py --processes 4 --devices-per-process 2 -- \\
        pretrain --config configs/pretrain.py:tiny --workdir runs/four

Lines come prefixed by the process' number. Where one process fails the others are ended, after
--grace seconds by force; the exit status is that of the first that failed (128 + signal where it
was killed). SIGTERM and Ctrl-C are passed on: the run saves and leaves with 75 or 130.
"""

import argparse
import os
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
    parser.add_argument("command", nargs="+", help="-- and a command of mbjax with its arguments")
    args = parser.parse_args(argv)
    if min(args.processes, args.devices_per_process) < 1:
        parser.error("--processes and --devices-per-process must be at least 1")

    told: list[int] = []  # signals to pass on; once told, nothing is started again
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: told.append(number))
    for start in range(args.restarts + 1):
        statuses = run_once(args, told)
        if START_AGAIN not in statuses or told or start == args.restarts:
            break
        print(f"launch: statuses {statuses}; starting again ({start + 1})", flush=True)
    failed = [status for status in statuses if status != 0]
    if not failed:
        return 0
    return failed[0] if failed[0] > 0 else 128 - failed[0]


def run_once(args, told) -> list[int]:
    """Exit statuses, in the order in which the processes ended; minus the signal where killed."""
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
    statuses: dict[int, int] = {}
    passed_on, force_at = 0, float("inf")
    while len(statuses) < len(processes):
        for number, process in enumerate(processes):
            if number not in statuses and process.poll() is not None:
                statuses[number] = process.returncode
                if process.returncode and force_at == float("inf"):
                    force_at = time.monotonic() + args.grace
        alive = [process for number, process in enumerate(processes) if number not in statuses]
        for signal_number in told[passed_on:]:
            send(alive, signal_number)
            passed_on += 1
        if alive and time.monotonic() > force_at:
            print("launch: ending those that are left", file=sys.stderr, flush=True)
            send(alive, signal.SIGKILL)
            force_at = float("inf")
        time.sleep(0.05)
    for thread in threads:
        thread.join(timeout=5)
    return list(statuses.values())


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
