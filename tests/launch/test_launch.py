"""What starts runs elsewhere: the scripts are sound, say what they miss, and print what they do."""

import importlib.util
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
import yaml

from mbjax.devices.surroundings import TPU_PORT
from mbjax.training.preemption import EXIT_START_AGAIN
from mbjax.training.run_log import read_metrics
from tests.recipes.settings import QUICK_TO_COMPILE, ROOT, TINY_SETTINGS

LAUNCH = ROOT / "launch"
COMMAND = ["pretrain", "--config", "configs/pretrain.py:mb", "--config.save_every=500 steps"]
POD = {
    "PROJECT": "project", "ZONE": "zone", "TPU_NAME": "slice", "ACCELERATOR_TYPE": "v5litepod-16",
    "RUNTIME_VERSION": "v2-alpha-tpuv5-lite", "SHARED": "10.0.0.2:/share", "DATA": "gs://b/data",
}  # fmt: skip
GKE = {
    "RUN_NAME": "mb", "IMAGE": "registry/mbjax:1", "ACCELERATOR": "tpu-v5-lite-podslice",
    "TOPOLOGY": "4x4", "HOSTS": "4", "CHIPS_PER_HOST": "4", "CLAIM": "shared",
}  # fmt: skip
SLURM = {"MBJAX_ENV": "/env", "MBJAX_WORKDIR": "/shared/runs/mb"}
SCRIPTS = [
    ("tpu_pod.sh", POD, ["--dry-run", "--", *COMMAND]),
    ("gke.sh", GKE, ["--dry-run", "--", *COMMAND]),
    ("slurm.sbatch", SLURM, ["--dry-run", *COMMAND]),
]


def script(name, variables, arguments, folder=None):
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", **variables}
    return subprocess.run(
        ["bash", LAUNCH / name, *arguments],
        env=environment, capture_output=True, text=True, cwd=folder,
    )  # fmt: skip


def test_scripts_are_shellcheck_clean_and_strict():
    files = [*LAUNCH.glob("*.sh"), LAUNCH / "slurm.sbatch"]
    binary = pathlib.Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([binary, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert all("set -euo pipefail" in file.read_text() for file in files)


@pytest.mark.parametrize("name, variables, arguments", SCRIPTS)
def test_every_variable_is_asked_for_by_name(name, variables, arguments):
    for missing in variables:
        without = {k: v for k, v in variables.items() if k != missing}
        done = script(name, without, arguments)
        assert done.returncode == 2 and f"set {missing}\n" in done.stderr + "\n"
        assert "unbound" not in done.stderr


@pytest.mark.parametrize("name, variables, arguments", SCRIPTS)
def test_dry_run_prints_the_command_quoted_and_does_nothing(name, variables, arguments):
    done = script(name, variables, arguments)
    assert done.returncode == 0, done.stderr
    if name == "gke.sh":
        (container,) = containers(yaml.safe_load(done.stdout))
        assert container["args"] == COMMAND
        return
    lines = [line for line in done.stdout.splitlines() if "mbjax" in line and "pretrain" in line]
    words = shlex.split(lines[0])
    if name == "tpu_pod.sh":
        assert "--worker=all" in words
        inner = next(word for word in words if word.startswith("--command="))
        words = shlex.split(inner.removeprefix("--command="))
        assert words[-6:] == [POD["SHARED"], POD["DATA"], *COMMAND]
    else:
        assert words[-6:] == [*COMMAND, "--workdir", SLURM["MBJAX_WORKDIR"]]
        assert words[0] == "srun" and "scontrol requeue" in done.stdout


@pytest.mark.parametrize("name, variables, arguments", SCRIPTS)
def test_nothing_of_the_current_folder_is_imported(tmp_path, name, variables, arguments):
    for module in ("json", "re", "os"):
        (tmp_path / f"{module}.py").write_text("open('sung', 'w').close()\n")
    assert script(name, variables, arguments, tmp_path).returncode == 0
    assert not (tmp_path / "sung").exists()


def containers(jobset):
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"]


def test_the_skypilot_task_goes_on_after_status_75_and_fills_in_what_is_asked():
    task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
    assert task["resources"]["job_recovery"]["recover_on_exit_codes"] == [75]
    assert task["envs"]["WORKDIR"] is task["envs"]["DATA"] is None  # sky refuses to start without
    used = set(re.findall(r"\$(\w+)", task["run"]))
    assert used == {"WORKDIR", "DATA", "ARGUMENTS"} <= set(task["envs"])
    assert all(isinstance(value, str | None) for value in task["envs"].values())


def _kept(given, typed):
    """Whether all that was given is there; the types add defaults."""
    if isinstance(given, dict):
        return all(name in typed and _kept(value, typed[name]) for name, value in given.items())
    if isinstance(given, list):
        return len(given) == len(typed) and all(map(_kept, given, typed))
    return given == typed


def test_the_jobset_is_one_by_its_published_types():
    """By models of Kubernetes' API, which refuse wrong values and drop names they do not know."""
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="kubeflow-trainer-api")
    jobset = yaml.safe_load(script("gke.sh", GKE, ["--dry-run", "--", *COMMAND]).stdout)
    assert _kept(jobset, models.JobsetV1alpha2JobSet.from_dict(jobset).to_dict())
    (job,) = jobset["spec"]["replicatedJobs"]
    job["template"]["spec"]["template"]["spec"]["containers"][0]["comand"] = ["a", "misprint"]
    assert not _kept(jobset, models.JobsetV1alpha2JobSet.from_dict(jobset).to_dict())
    job["template"]["spec"]["completions"] = "sixteen"
    with pytest.raises(ValueError, match="completions"):
        models.JobsetV1alpha2JobSet.from_dict(jobset)


def test_jobset_has_a_process_for_each_host_and_starts_again_on_status_75():
    jobset = yaml.safe_load(script("gke.sh", GKE, ["--dry-run", "--", *COMMAND]).stdout)
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = jobset["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    assert spec["completions"] == spec["parallelism"] == 4 and spec["backoffLimit"] == 0
    assert spec["completionMode"] == "Indexed"
    by_status, by_condition = spec["podFailurePolicy"]["rules"]
    (container,) = containers(jobset)
    assert by_status["action"] == by_condition["action"] == "FailJob"
    assert by_status["onExitCodes"] == {
        "containerName": container["name"], "operator": "In", "values": [EXIT_START_AGAIN],
    }  # fmt: skip
    assert by_condition["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    policy = jobset["spec"]["failurePolicy"]
    assert policy["rules"] == [
        {
            "name": "stopped_or_preempted",
            "action": "RestartJobSetAndIgnoreMaxRestarts",
            "onJobFailureReasons": ["PodFailurePolicy"],
        }
    ]
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never" and pod["terminationGracePeriodSeconds"] >= 60
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == "4x4"
    assert container["resources"]["limits"]["google.com/tpu"] == 4
    assert container["ports"] == [{"containerPort": TPU_PORT}]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert "${" not in json.dumps(jobset)


HOSTILE = (
    "a&b", 'x"}, evil: {"a": "b', "a: b", "- x", "${ARGUMENTS}", "$(touch ran)",
    "`touch ran`", "#x", "*x", "line\nbroken: yes", "tab\tx", "\\1", "é😀",
    "yes", "0x10", "'", "{}", "!!python/x", "|",
)  # fmt: skip


@pytest.fixture(scope="module")
def plain_jobset():
    return yaml.safe_load(script("gke.sh", GKE, ["--dry-run", "--", *COMMAND]).stdout)


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_breaks_out_of_its_place_in_the_jobset(plain_jobset, value):
    arguments = [*COMMAND, value, f"--workdir={value}"]
    hostile = dict.fromkeys(("IMAGE", "ACCELERATOR", "TOPOLOGY", "CLAIM"), value)
    done = script("gke.sh", {**GKE, **hostile}, ["--dry-run", "--", *arguments])
    assert done.returncode == 0, done.stderr
    filled = yaml.safe_load(done.stdout)
    pod = filled["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = containers(filled)
    assert container["args"] == arguments
    assert container["image"] == value
    assert set(pod["nodeSelector"].values()) == {value}
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == value
    assert structure(filled) == structure(plain_jobset)
    assert not (ROOT / "ran").exists()


def structure(value):
    """The keys of a document, without what is under them."""
    if isinstance(value, dict):
        return {key: structure(item) for key, item in value.items()}
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [structure(item) for item in value]
    return None


@pytest.mark.parametrize(
    "name, value",
    [
        ("HOSTS", "4}"),
        ("HOSTS", "0"),
        ("CHIPS_PER_HOST", "four"),
        ("RUN_NAME", "a: b"),
        ("RUN_NAME", "Mb"),
        ("IMAGE", "a\x7f"),
        ("IMAGE", "\udcff"),
    ],
)
def test_values_that_the_jobset_cannot_hold_are_one_line(name, value):
    done = script("gke.sh", {**GKE, name: value}, ["--dry-run", "--", *COMMAND])
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"gke.sh: {name} ") and done.stderr.count("\n") == 1


def test_slurm_signals_before_the_limit_and_requeues():
    text = (LAUNCH / "slurm.sbatch").read_text()
    options = dict(re.findall(r"#SBATCH --([\w-]+)=?(\S*)", text))
    name, seconds = options["signal"].split("@")
    assert name == "TERM" and int(seconds) >= 60 and "requeue" in options
    assert options["ntasks-per-node"] == "1", "one process has all devices of its node"
    assert f"-eq {EXIT_START_AGAIN} " in text


def test_versions_are_pinned_as_tested():
    from importlib import metadata

    from packaging.requirements import Requirement

    pinned = set()
    for line in (LAUNCH / "constraints.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate():
            (version,) = (one.version for one in wanted.specifier)
            there = metadata.version(wanted.name)
            assert there.split(".")[:2] == version.split(".")[:2], line
            assert wanted.name not in pinned, f"{wanted.name} is pinned twice"
            pinned.add(wanted.name)
    assert {"jax", "jaxlib", "flax", "optax", "orbax-checkpoint"} <= pinned


# --- launch/local.py --------------------------------------------------------------------------


def local(workdir, *options, settings=()):
    return [
        sys.executable, str(LAUNCH / "local.py"), *options, "--", "pretrain", "--config",
        "configs/pretrain.py:tiny", "--workdir", str(workdir), *TINY_SETTINGS,
        "--config.sources.annotated.dir=", "--config.model.structure=st", *settings,
    ]  # fmt: skip


ENVIRONMENT = {**os.environ, "XLA_FLAGS": QUICK_TO_COMPILE}


@pytest.mark.slow
def test_local_processes_stop_together_and_continue(tmp_path):
    workdir = tmp_path / "run"
    settings = ["--config.epochs=4000", "--config.save_every="]
    process = subprocess.Popen(
        local(workdir, "--processes", "2", settings=settings), env=ENVIRONMENT, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not read_metrics(workdir):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_START_AGAIN, output
    for number in (0, 1):
        assert re.search(rf"\[{number}\] mbjax pretrain: stopped at step \d+, saved", output)
    assert "[0] pretrain: 2 processes, 2 cpu devices" in output and "[1] pretrain:" not in output


def test_local_ends_all_when_one_fails_and_says_its_status(tmp_path):
    (tmp_path / "file").write_text("")
    begun = time.monotonic()
    done = subprocess.run(
        local(tmp_path / "file" / "run", "--processes", "2", "--grace", "3"),
        env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and time.monotonic() - begun < 120
    assert "cannot be made" in done.stderr


@pytest.mark.slow
def test_what_local_freezes_is_told_and_ends_as_if_undisturbed(tmp_path):
    """Two processes, one of which is frozen after some ten seconds."""
    settings = [
        "--config.epochs=120", "--config.save_every=40 steps", "--config.log_every=360 steps",
    ]  # fmt: skip
    options = ["--processes", "2", "--stop-every", "12", "--hits", "1"]
    environment = {**ENVIRONMENT, "MBJAX_HEARTBEAT_TIMEOUT": "5"}
    ends = []
    for name, how in (("hit", options), ("calm", options[:2])):
        done = subprocess.run(
            local(tmp_path / name, *how, settings=settings), env=environment, cwd=ROOT,
            capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        killed, frozen = (
            done.stdout.count(f"launch: {hit} process") for hit in ("killed", "froze")
        )
        assert done.stdout.count("starting again") == killed + frozen
        # Seen by the others' heartbeats, and told.
        told = re.findall(r"launch: process \d has not run for \d+ s", done.stdout)
        assert len(told) == frozen
        assert (killed + frozen > 0) == (name == "hit")
        rows = read_metrics(tmp_path / name)
        ends.append([row for row in rows if row["kind"] == "train"][-1])
    assert ends[0]["step"] == ends[1]["step"] == 360
    assert ends[0]["params_checksum"] == ends[1]["params_checksum"]


def test_who_is_hit_and_when_is_a_function_of_the_seed(monkeypatch):
    spec = importlib.util.spec_from_file_location("local", LAUNCH / "local.py")
    local = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(local)
    clock = [0.0]
    monkeypatch.setattr(local.time, "monotonic", lambda: clock[0])

    class Process:
        def __init__(self, number):
            self.number = number

        def send_signal(self, signal_number):
            found.append((clock[0], self.number, signal_number))

    runs = []
    for seed in (1, 1, 2):
        found, clock[0] = [], 0.0
        punisher = local.Punisher(60, 45, 3, seed)
        for _ in range(5):
            punisher.begin()
            for _ in range(100):
                clock[0] += 1.0
                punisher.strike([Process(n) for n in range(4)], {2: 0})
        runs.append(found)
    assert runs[0] == runs[1] != runs[2]
    assert [len(run) for run in runs] == [3, 3, 3], "one a start, and no more than 3"
    assert all(number != 2 for _, number, _ in runs[0]), "which had ended already"
