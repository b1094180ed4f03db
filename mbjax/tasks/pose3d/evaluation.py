"""Error of lifted poses in millimetres on a prepared corpus, clip by clip, of any length.

Shapes in names: B clips of a batch, T frames of a clip, J joints. The network runs on all devices
and hosts, each reading the 2D of its own rows; scores are computed from the whole prediction, on
every host alike, so that they are the same on any number of devices and hosts. Clips come
recording by recording, and a recording is summed up as soon as it is complete.
"""

import functools
import json
from collections.abc import Callable

import jax
import numpy as np

from mbjax.atomic_files import make_folder, written_beside
from mbjax.convert import load as loading
from mbjax.data import detected_pairs
from mbjax.data.records import RecordReader
from mbjax.data.windows import covering_windows
from mbjax.devices import sharding
from mbjax.models.flip import averaged
from mbjax.pose import metrics
from mbjax.pose.skeleton import NUM_JOINTS, ROOT, root_relative
from mbjax.tasks import pose_targets
from mbjax.tasks.checks import check_config, check_length
from mbjax.tasks.evaluation import Compiled, as_state, config_for, walk
from mbjax.tasks.pose3d.h36m_protocol import QUANTITIES, Recording, Scores, is_left_out
from mbjax.training.task import Report

CLIPS = ("every_frame", "reference")
MILLIMETRES = ("factor", "camera")
# The corpora's names in their dataset_info.json, and in papers.
_H36M, _DHP = "h36m", "mpi_inf3dhp"
_PAPERS_NAMES = {_H36M: "Human3.6M", _DHP: "MPI-INF-3DHP"}


class Evaluation:
    """The errors of a network's poses on the test split that config.evaluation names.

    reader: a RecordReader, or what has its `directory`, `info`, `__len__` and `__getitem__`.
    ValueError, in one line, where its records are not those of a pose corpus or cannot give what
    the config asks for.
    """

    def __init__(self, config, reader):
        self._config, self._options, self._reader = config, config.evaluation, reader
        for name, known in (("clips", CLIPS), ("millimetres", MILLIMETRES)):
            if self._options[name] not in known:
                raise ValueError(
                    f"evaluation.{name} is {self._options[name]!r}; it must be one of "
                    + ", ".join(known)
                )
        self.corpus = reader.info.get("name", "")
        first = self._checked(reader[0])
        length = len(first["pose"])
        step = self._options.frame_step
        self.frames = self._options.frames or length
        if self.frames < 1 or step < 1 or (self.frames - 1) * step >= length:
            raise ValueError(
                f"evaluation.frames is {self.frames}, {step} apart; the clips of "
                f"{reader.directory} have {length}"
            )
        self._windows = covering_windows(length, self.frames, step)
        self._record = functools.lru_cache(maxsize=4)(lambda i: self._checked(reader[i]))
        self._compiled = Compiled(self._predict)

    def data_index(self) -> dict:
        """{split: what its shards hold}, see `RecordReader.index`."""
        return {self._reader.split: self._reader.index()}

    def _checked(self, record):
        """The record, if it has what its errors in mm need; ValueError with what to do if not."""
        where = f"{self._reader.directory} ({self._options.split})"
        missing = [n for n in ("keypoints", "pose", "pose_mm", "frames", "width", "action")
                   if n not in record]  # fmt: skip
        if missing:
            raise ValueError(
                f"{where} has no {', '.join(missing)} in its records; prepare it with 'mbjax "
                "prepare h36m', 'mpi_inf_3dhp' or 'pairs'"
            )
        if len(record["pose_mm"]) != len(record["pose"]):
            raise ValueError(
                f"{where} has no truth in millimetres (pose_mm) for {record['source']}; is it a "
                "test split?"
            )
        if self._options.millimetres == "factor" and len(record["factor_2_5d"]) == 0:
            raise ValueError(
                f"{where} has no 2.5d_factor for {record['source']}, which the protocol turns "
                "pixels into millimetres with; --config.evaluation.millimetres=camera compares "
                "root-relative camera millimetres instead, at the scale that fits each frame"
            )
        return record

    @functools.cached_property
    def _examples(self) -> list[tuple[int, int]]:
        """(record, window) of what is evaluated, recording by recording. Reads every record once.

        Only names and numbers of frames are kept.
        """
        found = []
        for number in range(len(self._reader)):
            record = self._reader[number]
            if self.corpus == _H36M and is_left_out(record["source"]):
                continue
            found.append((record["source"], int(record["frames"][0]), number))
        found.sort()
        if self._options.clips == "reference":
            found = self._of_the_release(found)
        if not found:
            raise ValueError(f"{self._reader.directory}: nothing is left to evaluate")
        return [(entry[-1], w) for entry in found for w in range(len(self._windows))]

    def _of_the_release(self, found):
        """Only clips that lie whole clips after their recording's first: no overlapping ends."""
        if len(self._windows) > 1:
            raise ValueError(
                "evaluation.clips 'reference' is the rule for whole clips; leave "
                "evaluation.frames at 0"
            )
        first_row: dict = {}
        for source, first, _ in found:
            first_row.setdefault(source, first)
        return [entry for entry in found if (entry[1] - first_row[entry[0]]) % self.frames == 0]

    def _every_frame_is_there(self):
        """Whether the dataset holds the ends of recordings, by its card; True without one."""
        try:
            card = json.loads((self._reader.directory / "card.json").read_text())
        except (OSError, ValueError, TypeError):
            return True
        return card.get("options", {}).get("clips") != "reference"

    def describe(self) -> list[str]:
        """What the numbers are, for people: a line each."""
        options = self._options
        name = _PAPERS_NAMES.get(self.corpus, self.corpus)
        whole = self._every_frame_is_there() and options.clips == "every_frame"
        lines = [
            f"{name} ({self._reader.directory}, {options.split}), in mm, relative to the root",
            "protocol: "
            + (f"{name}, " if self.corpus in _PAPERS_NAMES else "")
            + ("true" if self._config.gt_2d else "detected")
            + " 2D; "
            + (
                "mm by the 2.5d factor of each frame"
                if options.millimetres == "factor"
                else "root-relative camera mm, the scale fitted to each frame"
            )
            + ("; flip-averaged" if options.flip else "; not flip-averaged")
            + ("; clips: every frame" if whole else "; clips: the release's, ends left out")
            + "; mean over actions",
        ]
        if self.corpus == _H36M:
            lines.append("left out: s_09 act_05 subact_02, act_10 subact_02, act_13 subact_01")
        if self.corpus == _DHP:
            lines.append(
                "PCK and AUC: of the benchmark's 14 joints; All frames is what papers report "
                "(P-STMO and after it: of all valid frames of TS1 to TS6)"
            )
        return lines

    def __call__(self, graphdef, state, devices) -> dict[str, float]:
        """The means over actions, by name."""
        return self.measure(graphdef, state, devices).means()

    def measure(self, graphdef, state, devices, keep: Callable | None = None) -> Scores:
        """keep: called for each recording with (source, action, frames (N,), scores (N, Q))."""
        scores, current = Scores(), None
        pck_joints = metrics.DHP_JOINTS if self.corpus == _DHP else ()

        def finish():
            rows, values = current.scores()
            scores.add(current.action, values)
            if keep:
                keep(current.source, current.action, rows, values)

        for example, pose_TxJx3 in self._predictions(graphdef, state, devices):
            record = self._record(example[0])
            if current is None or current.source != record["source"]:
                if current:
                    finish()
                current = Recording(record["source"], record["action"], pck_joints)
            window = self._windows[example[1]]
            pose = pose_TxJx3.astype(np.float64) * self._mm_per_unit(record, window)
            current.add(record["frames"][window], pose, record["pose_mm"][window])
        finish()
        return scores

    def _mm_per_unit(self, record, window):
        """(T, 1, 1): millimetres per half of the image's width."""
        if self._options.millimetres == "factor":
            factor = record["factor_2_5d"][window].astype(np.float64)
            return (record["width"] / 2 * factor)[:, None, None]
        pose, truth = (root_relative(record[name][window]) for name in ("pose", "pose_mm"))
        return metrics.fitting_scale(pose, truth)[:, None, None]

    def _predictions(self, graphdef, state, devices):
        """(example, pose (T, J, 3)) of every example, in order."""
        predict = self._compiled.on(graphdef, state, devices)
        everything = range(len(self._examples))
        batch_size = self._options.batch_size
        for numbers, pose in walk(everything, self._make_batch, predict, batch_size, devices):
            for number, pose_TxJx3 in zip(numbers, pose, strict=True):
                yield self._examples[number], pose_TxJx3

    def _make_batch(self, numbers):
        return {"x": np.stack([self._input(*self._examples[number]) for number in numbers])}

    def _input(self, record_number, window_number):
        record, window = self._record(record_number), self._windows[window_number]
        if not self._config.gt_2d:
            return record["keypoints"][window]
        return pose_targets.clean_input(record["pose"][window][..., :2])

    def _predict(self, model, batch):
        """2D (B, T, J, 3) in, the pose (B, T, J, 3) out."""
        config = self._config
        x = batch["x"][..., : config.model.dim_in]
        pose_BxTxJx3 = averaged(model, x) if self._options.flip else model(x)
        if config.root_relative:
            pose_BxTxJx3 = pose_BxTxJx3.at[:, :, ROOT].set(0)
        if config.gt_2d:  # what is known need not be guessed: the release's rule
            pose_BxTxJx3 = pose_BxTxJx3.at[..., :2].set(x[..., :2])
        return pose_BxTxJx3


def open_pairs(directory, split):
    """Records of pairs of 2D and 3D: a prepared dataset, 'sample:pairs' or 'pairs:FOLDER'."""
    if detected_pairs.is_made(str(directory)):
        return detected_pairs.open_split(str(directory), split)
    return RecordReader(directory, split)


def open_evaluation(config, maxlen: int) -> Evaluation:
    """The evaluation that a config names; ValueError where a network of `maxlen` cannot take it."""
    evaluation = Evaluation(config, open_pairs(config.evaluation.dir, config.evaluation.split))
    settings = f"--config.evaluation.frames={maxlen}"
    check_length(evaluation.frames, maxlen, "evaluation has", settings)
    return evaluation


def evaluate_checkpoint(config, path, out=None) -> Report:
    """The protocol's numbers for the weights that mbjax.load(path) finds.

    out: a folder for errors.npz, per frame, and table.csv.
    """
    check_config(config, "pose3d")
    if not config.evaluation.dir:
        raise ValueError(
            "the config has no evaluation.dir; give --config.evaluation.dir=DATASET, made by "
            "'mbjax prepare h36m'"
        )
    folder = make_folder(out)
    model = loading.load(path, kinds=("dstformer",))
    if model.config.num_joints != NUM_JOINTS or model.config.dim_in not in (2, 3):
        raise ValueError(
            f"{path} takes {model.config.num_joints} joints of {model.config.dim_in} channels; "
            f"records have {NUM_JOINTS} joints of x, y and confidence"
        )
    evaluation = open_evaluation(config_for(config, model), model.config.maxlen)
    graphdef, state = as_state(model)
    frames = FrameErrors() if folder else None
    scores = evaluation.measure(
        graphdef, state, sharding.make_mesh(config.fsdp), frames.add if frames else None
    )
    rows = scores.rows()
    lines = [*evaluation.describe(), *_aligned(rows), f"{scores.frames:,} frames"]
    if folder and jax.process_index() == 0:
        with written_beside(folder / "errors.npz") as beside:
            np.savez_compressed(beside, **frames.arrays())
        with written_beside(folder / "table.csv") as beside:
            beside.write_text("\n".join(",".join(row) for row in rows) + "\n")
        lines.append(f"wrote {folder / 'errors.npz'} (per frame) and {folder / 'table.csv'}")
    found = {
        "protocol": " | ".join(evaluation.describe()),
        "frames": scores.frames,
        **scores.means(),
        "over_frames": scores.over_frames(),
        "actions": {action: scores.of_action(action) for action in scores.actions()},
    }
    return Report("\n".join(lines), found)


class FrameErrors:
    """Per-frame errors of every recording: float32 numbers, nothing else is kept of a frame."""

    def __init__(self):
        self._sources, self._actions, self._rows, self._scores = [], [], [], []

    def add(self, source, action, rows_N, scores_NxQ):
        self._sources.append(source)
        self._actions.append(action)
        self._rows.append(rows_N)
        self._scores.append(scores_NxQ.astype(np.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """By recording: `sources`, `actions`. By frame: `recording`, `frame`, every quantity."""
        scores = np.concatenate(self._scores)
        counts = [len(rows) for rows in self._rows]
        return {
            "sources": np.array(self._sources),
            "actions": np.array(self._actions),
            "recording": np.repeat(np.arange(len(counts)), counts),
            "frame": np.concatenate(self._rows),
            **{name: scores[:, i] for i, name in enumerate(QUANTITIES)},
        }


def _aligned(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
