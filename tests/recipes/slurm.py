"""A Slurm of this machine: munged, slurmctld and two slurmd in a folder, gone after the block."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

from tests.recipes.buckets import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "sinfo", "unshare")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

_CONF = """
ClusterName=tests
FirstJobId={first_job}
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=0
ReturnToService=2
KillWait=30
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
NodeName=node0 Port={ports[1]} CPUs=2 State=UNKNOWN
NodeName=node1 Port={ports[2]} CPUs=2 State=UNKNOWN
PartitionName=all Nodes=node0,node1 Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no Slurm here; '' if there can."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path=_PATH)]
    if absent:
        return f"not installed: {', '.join(absent)} (apt-get install slurm-wlm munge)"
    if os.geteuid():
        return "its daemons need root"
    return ""


@dataclasses.dataclass
class Slurm:
    folder: pathlib.Path
    variables: dict

    def run(self, *command, **more) -> str:
        """What a command prints; AssertionError with its complaint."""
        done = subprocess.run(
            list(map(str, command)), env={**self.variables, **more}, capture_output=True,
            text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}\n{self.logs()}"
        return done.stdout

    def state(self, job: str) -> str:
        """'PENDING', 'RUNNING', 'COMPLETED', ... of a job, and how often it was started again."""
        shown = self.run("scontrol", "show", "job", job, "--oneliner")
        fields = dict(part.partition("=")[::2] for part in shown.split())
        return f"{fields['JobState']} {fields['Restarts']}"

    def logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))


@contextlib.contextmanager
def cluster(folder: pathlib.Path) -> Iterator[Slurm]:
    """Two nodes of two cores each, which are up."""
    host = socket.gethostname()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    folder.chmod(0o711)  # munged wants its socket where all may pass
    (folder / "state").mkdir()
    ports = [free_port() for _ in range(3)]
    conf = folder / "slurm.conf"
    conf.write_text(_CONF.format(host=host, folder=folder, ports=ports, first_job=ports[0]))
    variables = {**os.environ, "PATH": _PATH, "SLURM_CONF": str(conf)}
    munge = [
        "munged", "--foreground", "--force", f"--socket={folder}/munge.socket",
        f"--key-file={key}", f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munged.seed",
    ]  # fmt: skip
    (folder / "hosts").write_text(f"127.0.0.1 localhost {host} node0 node1\n")
    controller = _inside(folder, host, "slurmctld -D")
    nodes = [_inside(folder, name, "slurmd -D") for name in ("node0", "node1")]
    started: list[subprocess.Popen] = []
    try:
        for command in (munge, controller, *nodes):
            log = (folder / f"{command[0]}.{len(started)}.out.log").open("wb")
            started.append(subprocess.Popen(
                list(map(str, command)), env=variables, stdout=log, stderr=log,
                start_new_session=True,
            ))  # fmt: skip
            time.sleep(0.5)
        slurm = Slurm(folder, variables)
        _wait_until_up(slurm)
        yield slurm
    finally:
        with contextlib.suppress(AssertionError, UnboundLocalError, subprocess.TimeoutExpired):
            slurm.run("scancel", "--full", "--signal=KILL", "--user=root")
        for one in reversed(started):
            one.terminate()
        for one in reversed(started):
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(10)
            one.kill()


def _inside(folder, name, daemon):
    """A daemon on a host of this name, which knows the names of the nodes.

    Debian's slurmd serves one node a host; a namespace lets this machine be several.
    """
    hosts = f"mount --bind {folder}/hosts /etc/hosts"
    script = f"{hosts} && hostname {name} && exec {daemon} -f {folder}/slurm.conf"
    return ["unshare", "--uts", "--mount", "sh", "-c", script]


def _wait_until_up(slurm):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError):
            if slurm.run("sinfo", "--noheader", "--format=%t %D").split() == ["idle", "2"]:
                return
        time.sleep(0.5)
    raise AssertionError(f"the nodes did not come up\n{slurm.logs()}")
