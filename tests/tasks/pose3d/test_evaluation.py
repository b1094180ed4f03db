import dataclasses
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbjax import configuration
from mbjax.devices import sharding
from mbjax.pose.skeleton import root_relative
from mbjax.tasks.pose3d.evaluation import Evaluation
from tests.recipes.pose3d import Fixed, Reader, records, state_of


@pytest.fixture
def config():
    return configuration.load("configs/pose3d.py:scratch", [])


def measure(config, reader, devices=1, model=None, keep=None):
    graphdef, state = state_of(model or Fixed())
    mesh = sharding.make_mesh(devices=jax.devices()[:devices])
    return Evaluation(config, reader).measure(graphdef, state, mesh, keep)


def test_numbers_of_the_reference_from_a_prepared_dataset(config, golden, tmp_path):
    """From the raw pickle through `mbjax prepare` to P1 and P2, by either rule of clips."""
    import shutil

    from data_prep.corpora import h36m
    from mbjax.cli import main
    from mbjax.data.records import RecordReader
    from tests.recipes.settings import GOLDEN

    values = golden("h36m_eval.npz")
    shutil.copy(GOLDEN / "h36m_mini.pkl", tmp_path / h36m.FILE)
    words = ["prepare", "h36m", "--raw", str(tmp_path), "--frames=27", "--stride=9"]
    words.append("--test-stride=27")
    for out, rule in (("cover", []), ("reference", ["--clips=reference"])):
        assert main([*words, "--out", str(tmp_path / out), *rule]) == 0

    reader = RecordReader(tmp_path / "reference", "test")
    found = measure(config, reader, devices=8).means()
    # float32 in the truth and in the prediction, here and there.
    assert found["mpjpe_mm"] == pytest.approx(float(values["mpjpe"]), rel=1e-6)
    assert found["p_mpjpe_mm"] == pytest.approx(float(values["p_mpjpe"]), rel=1e-6)
    evaluation = Evaluation(config, reader)
    assert "clips: the release's" in evaluation.describe()[1], "the card says so"

    # Every frame by default; the release's rule by name, on the same dataset.
    cover = RecordReader(tmp_path / "cover", "test")
    every = measure(config, cover)
    assert every.frames == 612 - 118, "all frames of the file but those of act_05_subact_02"
    assert every.means()["mpjpe_mm"] != found["mpjpe_mm"]
    config.evaluation.clips = "reference"
    by_name = measure(config, cover)
    assert by_name.means()["mpjpe_mm"] == pytest.approx(float(values["mpjpe"]), rel=1e-6)
    assert by_name.means()["p_mpjpe_mm"] == pytest.approx(float(values["p_mpjpe"]), rel=1e-6)


class FromRoot(Fixed):
    def __call__(self, x):
        return root_relative(super().__call__(x))


def test_mpi_inf_3dhp_by_its_own_script(config, tmp_path):
    """From P-STMO's file through `mbjax prepare`, against the sums of the benchmark's script."""
    from mbjax.cli import main
    from mbjax.data.records import RecordReader
    from tests.recipes.pairs import motion

    data, raw = {}, tmp_path / "raw"
    for number, (name, frames) in enumerate((("TS1", 20), ("TS6", 33))):
        _, pose = motion(frames, number)
        pose[..., 2] = 4000 + 0.3 * (pose[..., 2] - 4000)  # flat enough that many joints are near
        pixels = 1500 * pose[..., :2] / pose[..., 2:] + 1024
        valid = np.ones(frames)
        valid[[3, 4]] = 0
        data[name] = {"data_2d": pixels, "data_3d": pose, "valid": valid}
    raw.mkdir()
    np.savez(raw / "data_test_3dhp.npz", data=np.array(data, object))
    words = ["prepare", "mpi_inf_3dhp", "--raw", str(raw), "--out", str(tmp_path / "data")]
    assert main([*words, "--frames=9"]) == 0

    config.evaluation.flip = False
    reader = RecordReader(tmp_path / "data", "test")
    found = measure(config, reader, model=FromRoot())
    # Factors are the preparation's; the rest is worked out in the dataset's order and axes.
    factors = {
        (record["source"], frame): factor
        for record in (reader[i] for i in range(len(reader)))
        for frame, factor in zip(record["frames"], record["factor_2_5d"], strict=True)
    }
    errors = {}
    for name, width, height in (("TS1", 2048, 2048), ("TS6", 1920, 1080)):
        given = data[name]
        x = (given["data_2d"] - [width / 2, height / 2]) / (width / 2)
        x = np.concatenate([x, np.ones_like(x[..., :1])], axis=-1).astype(np.float32)
        lifted = np.asarray(Fixed()(x), np.float64) * width / 2
        rows = [row for row in range(len(x)) if given["valid"][row]]
        scale = np.array([factors[name, row] for row in rows])[:, None, None]
        pose, truth = lifted[rows] * scale, given["data_3d"][rows]
        off = (pose - pose[:, 14:15]) - (truth - truth[:, 14:15])
        errors[name] = np.sqrt((off**2).sum(-1))
    groups = np.array([1, 2, 3, 6, 4, 7, 5, 8, 9, 12, 10, 13, 11, 14]) - 1
    every = np.concatenate(list(errors.values()))
    for values, mine in ((every, found.over_frames()), (errors["TS6"], found.of_action("TS6"))):
        assert mine["mpjpe_mm"] == pytest.approx(values.mean(), rel=1e-5)  # float32 predictions
        counted = values[:, groups]
        assert mine["pck_150mm"] == pytest.approx((counted < 150).mean(), abs=1e-3)
        curve = [(counted < threshold).mean() for threshold in range(0, 151, 5)]
        assert mine["auc_150mm"] == pytest.approx(np.mean(curve), abs=1e-3)
    assert 0.05 < found.over_frames()["auc_150mm"] < found.over_frames()["pck_150mm"] < 0.95
    assert found.frames == len(every) == 49
    text = Evaluation(config, reader).describe()
    assert "protocol: MPI-INF-3DHP" in text[1] and "14 joints" in text[-1]


def test_the_reference_s_rule_takes_whole_clips_from_the_start(config):
    """Of clips of 9 frames at 0, 4, 9, 13 and 14 those at 0 and 9 are the release's."""
    template = records(1)[0]
    made = [dict(template, frames=100 + start + np.arange(9)) for start in (14, 4, 0, 13, 9)]
    kept = []
    config.evaluation.clips = "reference"
    reader = Reader(made)
    measure(config, reader, keep=lambda source, action, rows, scores: kept.extend(rows))
    assert kept == list(range(100, 118))


def test_the_same_on_any_number_of_devices_and_batch(config):
    reader = Reader(records(20))
    results = []
    for devices, batch_size in ((1, 3), (8, 16), (2, 64)):
        config.evaluation.batch_size = batch_size
        results.append(measure(config, reader, devices).means())
    # The same float32 predictions, the same float64 sums in the same order.
    assert results[0] == results[1] == results[2]


def test_windows_shorter_than_the_clips_hold_every_frame(config):
    reader = Reader(records(6))
    config.evaluation.frames = 3
    # Fixed has no memory, so how clips are cut changes nothing.
    whole = configuration.load("configs/pose3d.py:scratch", [])
    a, b = measure(config, reader).means(), measure(whole, reader).means()
    # Overlapping windows average equal numbers.
    assert a == pytest.approx(b, rel=1e-9)
    config.evaluation.clips = "reference"
    with pytest.raises(ValueError, match="leave evaluation.frames at 0"):
        measure(config, reader)


def test_left_out_recordings_do_not_count(config):
    made = records(6)
    alone = measure(config, Reader([dict(r) for r in made]))
    bad = [dict(r, source="s_09_act_10_subact_02_ca_04") for r in made[:2]]
    assert measure(config, Reader(made + bad)).means() == alone.means()
    with pytest.raises(ValueError, match="nothing is left"):
        measure(config, Reader(bad))
    # The rule is Human3.6M's.
    other = Reader(bad, {"name": "pairs"})
    assert measure(config, other).frames > 0


class Depthless(Fixed):
    def __call__(self, x):
        return super().__call__(x) * np.array([1, 1, 0], np.float32)


def test_true_2d_is_given_and_taken_over(config):
    """With true 2D as input the predicted x, y are the input's: only depth is an error then."""
    made = records(3)
    for record in made:
        record["keypoints"] = np.zeros_like(record["keypoints"])
    config.gt_2d = True
    found = measure(config, Reader(made), model=Depthless()).means()
    depth = [np.abs(r["pose_mm"][..., 2] - r["pose_mm"][:, :1, 2]).mean(-1).mean() for r in made]
    walking = [d for d, r in zip(depth, made, strict=True) if r["action"] == "Walking"]
    eating = [d for d, r in zip(depth, made, strict=True) if r["action"] == "Eating"]
    # Predictions are float32.
    assert found["mpjpe_mm"] == pytest.approx((np.mean(walking) + np.mean(eating)) / 2, rel=1e-5)


class WithoutConfidence(Fixed):
    def __call__(self, x):
        assert x.shape[-1] == 2
        return super().__call__(jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1))


def test_a_network_of_two_channels_is_given_no_confidence(config):
    reader = Reader(records(3))  # confidence 1 throughout
    expected = measure(config, reader).means()
    config.model.dim_in = 2
    assert measure(config, reader, model=WithoutConfidence()).means() == expected


def test_camera_millimetres_only_when_told(config):
    made = records(6)
    with_factor = measure(config, Reader(made)).means()
    for record in made:
        record["factor_2_5d"] = np.zeros(0, np.float32)
    with pytest.raises(ValueError, match="no 2.5d_factor.*millimetres=camera"):
        measure(config, Reader(made))
    config.evaluation.millimetres = "camera"
    fitted = measure(config, Reader(made))
    # Here the truth is the label times the factor, which the fit then finds again.
    assert fitted.means() == pytest.approx(with_factor, rel=1e-5)
    assert "root-relative camera mm" in Evaluation(config, Reader(made)).describe()[1]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: r.pop("pose_mm"), "no pose_mm in its records; prepare it"),
        (lambda r: r.update(pose_mm=np.zeros((0, 17, 3))), "no truth in millimetres.*test split"),
    ],
)
def test_records_without_truth_are_refused_in_a_line(config, change, message):
    made = records(3)
    for record in made:
        change(record)
    with pytest.raises(ValueError, match=message):
        Evaluation(config, Reader(made))


def test_unknown_rules_are_named(config):
    for name in ("clips", "millimetres"):
        wrong = configuration.load("configs/pose3d.py:scratch", [f"--config.evaluation.{name}=x"])
        with pytest.raises(ValueError, match=f"evaluation.{name} is 'x'; it must be one of"):
            Evaluation(wrong, Reader(records(1)))


@dataclasses.dataclass
class Endless(Reader):
    """As many clips as wanted, made when they are read."""

    count: int = 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        recording, clip = divmod(index, 4)
        record = dict(self.records[0])
        record["source"] = f"r{recording:06d}"
        record["frames"] = index * 9 + np.arange(9)
        record["pose_mm"] = record["pose_mm"] + clip
        return record


def test_memory_does_not_grow_with_the_test_set(config):
    config.evaluation.batch_size = 8
    peaks = []
    for count in (40, 40, 640):  # the first compiles
        reader = Endless(records(1), {"name": "pairs"}, count=count)
        tracemalloc.start()
        scores = measure(config, reader)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert scores.frames == 9 * count
    # 600 clips more have 600 x 9 x 17 x 3 x 4 bytes = 1.1 MB of 2D alone; their names and numbers
    # stay, about 250 bytes each.
    assert peaks[2] - peaks[1] < 300_000
