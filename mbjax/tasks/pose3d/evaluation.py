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
from flax import nnx

from mbjax.data.feed import every_example, to_devices
from mbjax.data.windows import covering_windows
from mbjax.devices import sharding
from mbjax.pose import metrics
from mbjax.pose.skeleton import ROOT, root_relative
from mbjax.tasks import pose_targets
from mbjax.tasks.pose3d.h36m_protocol import Recording, Scores, is_left_out

CLIPS = ("every_frame", "reference")
MILLIMETRES = ("factor", "camera")
_H36M = "h36m"  # the corpus' name in its dataset_info.json


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
        self._compiled = {}

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
            found = self._by_the_reference(found)
        if not found:
            raise ValueError(f"{self._reader.directory}: nothing is left to evaluate")
        return [(entry[-1], w) for entry in found for w in range(len(self._windows))]

    def _by_the_reference(self, found):
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
        name = {_H36M: "Human3.6M"}.get(self.corpus, self.corpus)
        whole = self._every_frame_is_there() and options.clips == "every_frame"
        lines = [
            f"{name} ({self._reader.directory}, {options.split}), in mm, relative to the root",
            "protocol: "
            + (f"{name}, " if self.corpus == _H36M else "")
            + ("true" if self._config.gt_2d else "detected")
            + " 2D; "
            + (
                "mm by the 2.5d factor of each frame"
                if options.millimetres == "factor"
                else "root-relative camera mm, the scale fitted to each frame"
            )
            + ("; flip-averaged" if options.flip else "; not flip-averaged")
            + ("; clips: every frame" if whole else "; clips: the reference's, ends left out")
            + "; mean over actions",
        ]
        if self.corpus == _H36M:
            lines.append("left out: s_09 act_05 subact_02, act_10 subact_02, act_13 subact_01")
        return lines

    def __call__(self, graphdef, state, mesh) -> dict[str, float]:
        """The means over actions, by name."""
        return self.measure(graphdef, state, mesh).means()

    def measure(self, graphdef, state, mesh, keep: Callable | None = None) -> Scores:
        """keep: called for each recording with (source, action, frames (N,), scores (N, Q))."""
        scores, current = Scores(), None

        def finish():
            rows, values = current.scores()
            scores.add(current.action, values)
            if keep:
                keep(current.source, current.action, rows, values)

        for example, pose_TxJx3 in self._predictions(graphdef, state, mesh):
            record = self._record(example[0])
            if current is None or current.source != record["source"]:
                if current:
                    finish()
                current = Recording(record["source"], record["action"])
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

    def _predictions(self, graphdef, state, mesh):
        """(example, pose (T, J, 3)) of every example, in order."""
        if mesh not in self._compiled:
            self._compiled[mesh] = self._predict(graphdef, mesh)
        row_sharding = sharding.batch_sharding(mesh)
        size = -(-self._options.batch_size // mesh.size) * mesh.size
        rows = sharding.local_rows(row_sharding, size)
        for numbers, real in every_example(len(self._examples), size):
            local = [self._input(*self._examples[number]) for number in numbers[rows]]
            batch = to_devices({"x": np.stack(local)}, row_sharding, size)
            pose = self._compiled[mesh](state["params"], state["other"], batch["x"])
            pose = np.asarray(pose)
            for number in np.flatnonzero(real):
                yield self._examples[numbers[number]], pose[number]

    def _input(self, record_number, window_number):
        record, window = self._record(record_number), self._windows[window_number]
        if not self._config.gt_2d:
            return record["keypoints"][window]
        return pose_targets.clean_input(record["pose"][window][..., :2])

    def _predict(self, graphdef, mesh):
        """Compiled once: 2D (B, T, J, 3) in, the pose (B, T, J, 3) out, whole on every host."""
        config = self._config

        def predict(params, other, x_BxTxJx3):
            model = nnx.merge(graphdef, params, other)
            model.eval()
            x = x_BxTxJx3[..., : config.model.dim_in]
            flip = self._options.flip
            pose_BxTxJx3 = pose_targets.mirror_averaged(model, x) if flip else model(x)
            if config.root_relative:
                pose_BxTxJx3 = pose_BxTxJx3.at[:, :, ROOT].set(0)
            if config.gt_2d:  # what is known need not be guessed: the release's rule
                pose_BxTxJx3 = pose_BxTxJx3.at[..., :2].set(x[..., :2])
            return pose_BxTxJx3

        return jax.jit(
            sharding.traced_on(mesh, predict), out_shardings=sharding.replicated(mesh)
        )
