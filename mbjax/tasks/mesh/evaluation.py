"""Errors of body meshes on held-out clips: every frame once, vertices never leave the device.

Shapes in names: B batch, T frames of a clip, N frames of a dataset, J joints (17), V vertices, K
rotations. Lengths are in mm.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.atomic_files import make_folder, written_beside
from mbjax.body import smpl
from mbjax.convert import load as loading
from mbjax.data.records import RecordReader
from mbjax.devices import sharding
from mbjax.models import flip, mesh
from mbjax.models.networks import Network
from mbjax.pose.rotations import axis_angle_to_matrix, matmul, matrix_to_axis_angle
from mbjax.tasks.checks import check_config, check_length
from mbjax.tasks.evaluation import Compiled, as_state, walk
from mbjax.tasks.mesh import metrics as mesh_metrics
from mbjax.training.task import Report

KINDS = ("mesh", "mesh_refine")
# Names here, and what a table calls them.
ERRORS = {
    "mpve": "MPVE (all vertices)",
    "mpjpe": "MPJPE (14 joints)",
    "pa_mpjpe": "PA-MPJPE (14 joints)",
    "mpjpe_17": "MPJPE (17 joints)",
    "pa_mpjpe_17": "PA-MPJPE (17 joints)",
    "accel": "acceleration error (14 joints, mm per frame^2)",
}

_BASELINES = {
    "mean_pose_mpve": "baseline: MPVE of the mean pose",
    "turned_mean_pose_mpve": "baseline: MPVE of the mean pose, rightly turned",
}


def fields(kind: str) -> tuple[str, ...]:
    """Of a record, what a network of this kind needs."""
    given = ("initial_theta",) if kind == "mesh_refine" else ()
    return ("keypoints", "theta", *given)


@dataclasses.dataclass(frozen=True)
class SetErrors:
    """A dataset's errors. frames (N,): {name: (N,)} root-relative mm, accel of fewer frames.

    means: {name: mean}. baseline: MPVE of two answers that look at nothing, the mean pose (of the
    dataset) with its mean orientation and with the true one; of a refiner also the errors of what
    it was given. rows, sources: which frame of the split each is.
    """

    frames: dict[str, np.ndarray]
    means: dict[str, float]
    baseline: dict[str, float]
    rows_N: np.ndarray
    sources: list[str]

    def save(self, path) -> None:
        np.savez(path, rows=self.rows_N, source=np.array(self.sources), **self.frames)


class Evaluation:
    """MPVE, MPJPE, PA-MPJPE and acceleration error on the test split of every source that has one.

    Vertices and joints are those of the mean of both, the input's and its mirror image's, each by
    itself, where the config says flip (the release's way). Frames in several clips count once, with
    their mean.
    """

    def __init__(self, config, network, body):
        self._config, self._body = config, body
        self.refine, self._fields = network.kind == "mesh_refine", fields(network.kind)
        self.sets = {
            name: source for name, source in config.sources.items()
            if source.dir and source.test_split
        }  # fmt: skip
        self._readers = {n: RecordReader(s.dir, s.test_split) for n, s in self.sets.items()}
        for name, reader in self._readers.items():
            first, source = reader[0], self.sets[name]
            missing = [field for field in fields(network.kind) if field not in first]
            if missing:
                hint = "; prepare it with --initial" if missing == ["initial_theta"] else ""
                raise ValueError(
                    f"{source.dir} ({source.test_split}) has no {', '.join(missing)} in its "
                    f"records{hint}"
                )
            of = f"{source.dir} ({source.test_split}) has"
            check_length(len(first["keypoints"]), network.encoder.maxlen, of)
        self._dim_in = network.encoder.dim_in
        self._arrays = {
            field.name: getattr(body.body, field.name)
            for field in dataclasses.fields(body.body)
            if field.name not in ("parents", "faces_Fx3")
        }
        self._compiled = Compiled(self._predict)

    def data_index(self) -> dict:
        """{'SET SPLIT': what its shards hold}, see `RecordReader.index`."""
        return {f"{name} {reader.split}": reader.index() for name, reader in self._readers.items()}

    def __len__(self):
        return len(self.sets)

    def __call__(self, graphdef, state, devices) -> dict[str, float]:
        return self.metrics({n: self.of_set(n, graphdef, state, devices) for n in self.sets})

    def metrics(self, found: dict[str, SetErrors]) -> dict[str, float]:
        """All means as 'SET_error', and 'mpjpe', by which a checkpoint is the best."""
        best = self._config.evaluation.best
        if best not in found:
            best = next(iter(found))
        values = {"mpjpe": found[best].means["mpjpe"]}
        for name, errors in found.items():
            values |= {f"{name}_{error}": value for error, value in errors.means.items()}
            values |= {f"{name}_{error}": value for error, value in errors.baseline.items()}
        return values

    def table(self, name: str, errors: SetErrors) -> list[str]:
        """Lines for a person: the protocol, then each number."""
        source, flip = self.sets[name], self._config.evaluation.flip
        lines = [
            f"{name}: {source.dir} ({source.test_split}), {len(errors.rows_N):,} frames of "
            f"{len(set(errors.sources))} recordings; body {self._body.where}",
            "  protocol: root-relative (the regressed root at the origin), mm, every frame once, "
            + ("mean with the mirrored input" if flip else "no flip-averaging"),
        ]
        lines += [f"  {text:48s} {errors.means[key]:8.2f}" for key, text in ERRORS.items()]
        for key, text in _BASELINES.items():
            lines.append(f"  {text:48s} {errors.baseline[key]:8.2f}")
        if self.refine:
            lines += [
                f"  {'given: ' + text:48s} {errors.baseline[f'given_{key}']:8.2f}"
                for key, text in ERRORS.items()
            ]
        return lines

    # --- one dataset ----------------------------------------------------------------------------

    def of_set(self, name: str, graphdef, state, devices) -> SetErrors:
        """Errors of one dataset. Holds 17 joints for each of its frames, and no vertices."""
        reader = self._readers[name]
        parts: dict[str, list] = {}
        records = []
        predict = self._compiled.on(graphdef, state, devices, self._arrays, _mean_pose(reader))

        def make_batch(numbers):
            local = [reader[int(number)] for number in numbers]
            return {field: np.stack([record[field] for record in local]) for field in self._fields}

        batch_size = min(self._config.evaluation.batch_size, len(reader))
        for numbers, outputs in walk(range(len(reader)), make_batch, predict, batch_size, devices):
            records += [reader[int(number)] for number in numbers]
            for key, value in outputs.items():
                parts.setdefault(key, []).append(value)
        rows_N = np.concatenate([record["frames"] for record in records])
        sources_N = [r["source"] for r in records for _ in r["frames"]]
        unique, first, place = np.unique(rows_N, return_index=True, return_inverse=True)
        count = np.bincount(place)

        def once(key):
            values = np.concatenate(parts[key]).astype(np.float64)
            values = values.reshape(-1, *values.shape[2:])
            total = np.zeros((len(unique), *values.shape[1:]))
            np.add.at(total, place, values)
            return total / count.reshape(-1, *[1] * (total.ndim - 1))

        sources = [sources_N[i] for i in first]
        target = once("target_joints")
        frames, means = _errors(once("mpve"), once("joints"), target, unique, sources)
        baseline = {key: float(once(key).mean()) for key in _BASELINES}
        if self.refine:
            given = _errors(once("given_mpve"), once("given_joints"), target, unique, sources)[1]
            baseline |= {f"given_{key}": value for key, value in given.items()}
        return SetErrors(frames, means, baseline, unique, sources)

    def _predict(self, model, batch, arrays, mean_pose):
        body = dataclasses.replace(self._body.body, faces_Fx3=None, **arrays)
        x = batch["keypoints"][..., : self._dim_in]
        initial = batch.get("initial_theta")
        if self._config.evaluation.flip:
            thetas = flip.both_thetas(model, x, initial)
        else:
            thetas = ((model(x) if initial is None else model(x, initial)).theta(),)

        def frame_of_clips(theta_of):
            """(B, 82) each: one frame of every clip, so that devices keep their own clips."""
            true_verts, true_joints = self._shape_of(body, theta_of["target"])
            result = {"target_joints": true_joints}

            def compare(prefix, verts, joints):
                apart = (verts - joints[:, :1]) - (true_verts - true_joints[:, :1])
                result[f"{prefix}mpve"] = jnp.linalg.norm(apart, axis=-1).mean(-1)
                return joints

            both = [self._shape_of(body, theta) for theta in theta_of["predicted"]]
            verts, joints = (sum(each) / len(both) for each in zip(*both, strict=True))
            result["joints"] = compare("", verts, joints)
            mean = jnp.broadcast_to(mean_pose, theta_of["target"].shape)
            compare("mean_pose_", *self._shape_of(body, mean))
            turned = mean.at[:, :3].set(theta_of["target"][:, :3])
            compare("turned_mean_pose_", *self._shape_of(body, turned))
            if "given" in theta_of:
                given = self._shape_of(body, theta_of["given"])
                result["given_joints"] = compare("given_", *given)
            return result

        by_frame = {"target": batch["theta"], "predicted": thetas}
        if initial is not None:
            by_frame["given"] = initial
        by_frame = jax.tree.map(lambda a: a.swapaxes(0, 1), by_frame)
        return jax.tree.map(lambda a: a.swapaxes(0, 1), jax.lax.map(frame_of_clips, by_frame))

    def _shape_of(self, body, theta_Bx82):
        verts, _ = body(theta_Bx82[:, : mesh.POSE], theta_Bx82[:, mesh.POSE :])
        verts = 1000 * verts
        return verts, matmul(jnp.asarray(self._body.regressor_17xV), verts)


def _errors(mpve, joints, target, rows_N, sources):
    """({name: per frame}, {name: mean}); acceleration within each recording."""
    frames = {"mpve": mpve, **mesh_metrics.joint_errors(joints, target)}
    names, accel = np.array(sources), [np.zeros(0)]
    # A new stretch begins with another recording, or where a frame is left out.
    breaks = np.flatnonzero((names[1:] != names[:-1]) | (np.diff(rows_N) != 1)) + 1
    for part in np.split(np.arange(len(rows_N)), breaks):
        accel.append(mesh_metrics.acceleration_error(joints[part], target[part]))
    frames["accel"] = np.concatenate(accel)
    means = {key: float(v.mean()) if len(v) else float("nan") for key, v in frames.items()}
    return frames, means


def _mean_pose(reader) -> np.ndarray:
    """Theta (82,) whose rotations and shape are nearest to all of a dataset's in the mean."""
    rotations, betas, count = np.zeros((24, 3, 3)), np.zeros(10), 0
    for number in range(len(reader)):
        theta = np.asarray(reader[number]["theta"], np.float64)
        rotations += axis_angle_to_matrix(theta[:, :72].reshape(-1, 24, 3)).sum(0)
        betas += theta[:, 72:].sum(0)
        count += len(theta)
    u, _, vt = np.linalg.svd(rotations)
    u[..., -1] *= np.linalg.det(u @ vt)[:, None]
    pose = matrix_to_axis_angle(u @ vt).reshape(72)
    return np.concatenate([pose, betas / count]).astype(np.float32)


def evaluate_checkpoint(config, path, out=None) -> Report:
    """What `Evaluation` measures of a checkpoint; `out` gets errors.npz with every frame's."""
    check_config(config, "mesh")
    folder = make_folder(out)
    model = loading.load(path, kinds=KINDS)
    kind = "mesh" if isinstance(model, mesh.MeshNet) else "mesh_refine"
    network = Network(model.config, kind, model.head_config)
    evaluation = Evaluation(config, network, smpl.load(config.body))
    if not len(evaluation):
        raise ValueError(
            "no source has a folder to evaluate on; give one, such as --config.sources.pw3d.dir=DIR"
        )
    graphdef, state = as_state(model)
    devices = sharding.make_mesh(config.fsdp)
    found = {name: evaluation.of_set(name, graphdef, state, devices) for name in evaluation.sets}
    metrics = evaluation.metrics(found)
    lines = [line for name, errors in found.items() for line in evaluation.table(name, errors)]
    if folder:
        for name, errors in found.items():
            with written_beside(folder / f"errors_{name}.npz") as beside:
                errors.save(beside)
            lines.append(f"wrote {folder / f'errors_{name}.npz'}")
    return Report("\n".join(lines), metrics)
