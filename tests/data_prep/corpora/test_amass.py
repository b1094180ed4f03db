"""AMASS: raw files to clips, against full skinning and against motions known in closed form."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from data_prep.corpora import amass
from mbjax.body.model import Body
from tests.recipes import amass as amass_recipes
from tests.recipes.corpora import run
from tests.recipes.settings import ROOT

# A fifth of a millimetre of the normalised unit's metre: float32 sums over bones of a body that
# is a few metres from the origin.
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def bodies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bodies")
    return folder, *amass_recipes.write_bodies(folder)


def skinned_joints(arrays, soft, regressor, members, rows):
    """(T, 17, 3) metres by making the whole surface, in float64."""
    body = Body.from_arrays(
        arrays,
        num_betas=16,
        soft_Vx3xD=None if soft is None else soft[..., :8],
        dtype=np.float64,
    )
    verts, _ = body(
        members["poses"][rows],
        members["betas"],
        trans=members["trans"][rows],
        dmpls=None if soft is None else members["dmpls"][rows],
    )
    return np.einsum("jv,tvc->tjc", regressor, verts)


def seen_by_the_camera(joints):
    """Up is z in AMASS and -y in the camera; what is far along y is deep."""
    return 0.298 * np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], axis=-1)


def test_values_at_120_fps(bodies, tmp_path):
    folder, arrays, regressor = bodies
    members = {name: amass_recipes.motion(700, 120, seed=i) for i, name in enumerate("abc")}
    members["b"]["gender"] = np.array(b"female")
    amass_recipes.write(tmp_path, "CMU/01/a", **members["a"])
    amass_recipes.write(tmp_path, "CMU/02/b", **members["b"])
    amass_recipes.write(tmp_path, "SSM_synced/x/c", **members["c"], without=["dmpls"])
    result = run(amass.Amass, tmp_path, body_models=str(folder))

    genders = {"CMU/01/a": "male", "CMU/02/b": "female", "SSM_synced/x/c": "male"}
    places = [
        (split, r["source"], r["first_frame"]) for split in result.records
        for r in result.records[split]
    ]  # fmt: skip
    # 700 frames at 120 fps are 350 at 60: two windows of 243 at a stride of 81 in training, and
    # in the test split one and another that ends with the recording.
    assert places == [
        ("train", "CMU/01/a", 0), ("train", "CMU/01/a", 81),
        ("train", "CMU/02/b", 0), ("train", "CMU/02/b", 81),
        ("test", "SSM_synced/x/c", 0), ("test", "SSM_synced/x/c", 107),
    ]  # fmt: skip
    for records in result.records.values():
        for record in records:
            soft = arrays[genders[record["source"]]][1]
            if record["source"] == "SSM_synced/x/c":
                soft = None
            start = 2 * record["first_frame"]
            joints = skinned_joints(
                arrays[genders[record["source"]]][0],
                soft,
                regressor,
                members[record["source"][-1]],
                np.arange(start, start + 486, 2),
            )
            np.testing.assert_allclose(record["pose"], seen_by_the_camera(joints), **CLOSE)
            assert record["pose"].dtype == np.float32 and record["fps"] == 60
            assert record["metres_per_unit"] == pytest.approx(1 / 0.298)
    assert not result.left_out
    assert result.frames == 1050 and result.seconds == pytest.approx(17.5)
    assert result.notes["no soft tissue in the file"] == 1
    assert result.notes["frames of tails too short for a clip, in training"] == 2 * 26


@pytest.mark.parametrize("fps", [24, 30, 50, 59.94, 60, 100, 150, 250])
def test_any_rate_becomes_true_60_fps(bodies, tmp_path, fps):
    folder, *_ = bodies
    frames = int(5 * fps)
    members = amass_recipes.motion(frames, fps)
    members["poses"] = np.zeros((frames, 156))
    members["dmpls"] = np.zeros((frames, 8))
    # A stiff body thrown through the air: a parabola in time, which no rate may bend.
    t = np.arange(frames)[:, None] / fps
    members["trans"] = np.concatenate([2 * t, 0 * t, 3 * t - 4.9 * t**2], axis=1)
    amass_recipes.write(tmp_path, "CMU/01/thrown", **members)
    result = run(amass.Amass, tmp_path, body_models=str(folder))
    pose = result.records["train"][0]["pose"]

    count = int((frames - 1) * 60 / fps + 1e-6) + 1
    assert result.frames == count and count >= 243
    t = np.arange(243) / 60
    path = np.stack([2 * t, -(3 * t - 4.9 * t**2), 0 * t], axis=-1) * 0.298
    moved = pose - pose[:1] - path[:, None]
    # One step inside both ends the curve is exact to float32 over 40 m; on the way to the first
    # frame's neighbour slopes are one-sided: off by at most g / 2 (1 / fps)^2 / 4 x 0.298.
    start = int(np.ceil(60 / fps))
    np.testing.assert_allclose(moved[start:] - moved[start], 0, rtol=0, atol=3e-5)
    np.testing.assert_allclose(moved, 0, rtol=0, atol=0.298 * 4.9 / 4 / fps**2 + 3e-5)


def test_the_rate_of_the_reference_by_name(bodies, tmp_path):
    folder, arrays, regressor = bodies
    members = amass_recipes.motion(600, 100)
    amass_recipes.write(tmp_path, "CMU/01/fast", **members)
    amass_recipes.write(tmp_path, "CMU/01/slow", **amass_recipes.motion(600, 50))
    result = run(amass.Amass, tmp_path, body_models=str(folder), resample="reference")
    # 100 / 60 rounds to 2.
    joints = skinned_joints(*arrays["male"], regressor, members, np.arange(0, 486, 2))
    np.testing.assert_allclose(
        result.records["train"][0]["pose"], seen_by_the_camera(joints), **CLOSE
    )
    assert [(file, "below 60 fps" in why) for file, _, why, _ in result.left_out] == [
        ("CMU/01/slow_poses.npz", True)
    ]


def test_bodies_that_are_absent(tmp_path):
    folder, raw = tmp_path / "bodies", tmp_path / "raw"
    amass_recipes.write_bodies(folder, genders=("neutral", "female"), soft=())
    amass_recipes.write(raw, "KIT/3/a", **amass_recipes.motion(300, 60))
    other = amass_recipes.motion(300, 60)
    other["gender"] = np.array("unknown")
    amass_recipes.write(raw, "KIT/3/b", **other)
    result = run(amass.Amass, raw, body_models=str(folder))
    assert len(result.records["train"]) == 2
    assert result.notes["neutral body used, no male one in the folder of bodies"] == 1
    assert result.notes["soft tissue not used, no dmpls/neutral/model.npz"] == 2

    (folder / "smplh" / "neutral" / "model.npz").unlink()
    amass._models.cache_clear()
    result = run(amass.Amass, raw, body_models=str(folder))
    assert not result.records and len(result.left_out) == 2

    (folder / "smplh" / "female" / "model.npz").unlink()
    amass._models.cache_clear()
    with pytest.raises(FileNotFoundError, match="no such body model"):
        run(amass.Amass, raw, body_models=str(folder))
    with pytest.raises(FileNotFoundError, match="--body-models"):
        run(amass.Amass, raw, body_models=str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nothing of amass"):
        run(amass.Amass, folder, body_models=str(tmp_path / "nowhere"))


def test_short_recordings_and_chosen_test_sets(bodies, tmp_path):
    folder, *_ = bodies
    amass_recipes.write(tmp_path, "KIT/3/short", **amass_recipes.motion(100, 60))
    amass_recipes.write(tmp_path, "SFU/3/short", **amass_recipes.motion(100, 60))
    result = run(amass.Amass, tmp_path, body_models=str(folder), test_datasets="SFU, ACCAD")
    (train,), (test,) = result.records["train"], result.records["test"]
    assert train["source"] == "KIT/3/short" and test["source"] == "SFU/3/short"
    # All 100 frames of a test recording are in its one clip.
    assert len(np.unique(test["pose"], axis=0)) == 100


def test_bad_files_are_named_and_the_rest_is_prepared(bodies, tmp_path):
    folder, *_ = bodies

    def bad(name, without=(), **changes):
        members = {**amass_recipes.motion(300, 60), **changes}
        return amass_recipes.write(tmp_path, f"CMU/09/{name}", **members, without=without)

    bad("good")
    bad("empty").write_bytes(b"")
    cut = bad("truncated")
    cut.write_bytes(cut.read_bytes()[:-500])
    bad("text").write_text("not an archive")
    bad("keyless", without=["trans"])
    poses = amass_recipes.motion(300, 60)["poses"]
    bad("nan", poses=np.where(np.arange(156) == 7, np.nan, poses))
    bad("joints", poses=poses[:, :72])
    bad("no_frames", **{k: np.zeros((0, n)) for k, n in
                        (("poses", 156), ("trans", 3), ("dmpls", 8))})  # fmt: skip
    bad("unequal", trans=np.zeros((299, 3)))
    bad("rate", mocap_framerate=np.array(0.0))
    # An array of objects is a pickle inside, which may run code: it is never opened.
    bad("code", betas=np.array([print], dtype=object))
    result = run(amass.Amass, tmp_path, body_models=str(folder))
    assert [record["source"] for record in result.records["train"]] == ["CMU/09/good"]
    reasons = {file.split("/")[-1].removesuffix("_poses.npz"): why
               for file, _, why, _ in result.left_out}  # fmt: skip
    wanted = {
        "empty": "empty", "truncated": "broken or cut off", "text": "not an .npz",
        "keyless": "missing key trans", "nan": "poses holds entries that are not finite",
        "joints": "poses has shape", "no_frames": "no frames", "unequal": "trans has shape",
        "rate": "mocap_framerate", "code": "betas: holds objects",
    }  # fmt: skip
    assert reasons.keys() == wanted.keys()
    for name, words in wanted.items():
        assert words in reasons[name], (name, reasons[name])


# --- measurements: what the docstring of data_prep/corpora/amass.py states ---------------------
# pytest -s -k "frames_per_second or moves_the_joints" tests/data_prep/corpora/test_amass.py


@pytest.fixture(scope="module")
def whole_bodies(tmp_path_factory):
    """Bodies of SMPL+H's size."""
    folder = tmp_path_factory.mktemp("whole_bodies")
    return folder, *amass_recipes.write_bodies(folder, num_vertices=6890)


@pytest.mark.slow
def test_frames_per_second_and_memory(whole_bodies, tmp_path):
    """From compressed files to finished clips, in a process of its own."""
    raw, files, frames = tmp_path / "raw", 12, 3000
    members = [amass_recipes.motion(frames, fps, seed) for seed, fps in enumerate((120, 100, 60))]
    for i in range(files):
        members[i % 3]["gender"] = np.array(("male", "female")[i % 2])
        amass_recipes.write(raw, f"CMU/{i:02d}/a", **members[i % 3])
    code = (
        "import pathlib, re, sys, time\n"
        "from data_prep.corpora import amass\n"
        "from tests.recipes import corpora\n"
        "began = time.perf_counter()\n"
        "run = corpora.run(amass.Amass, pathlib.Path(sys.argv[1]), body_models=sys.argv[2])\n"
        "seconds = time.perf_counter() - began\n"
        # Not ru_maxrss: that of a child begins at what its parent had when it was forked.
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "peak_kib = int(re.search(r'VmHWM:\\s+(\\d+)', status)[1])\n"
        "print(seconds, peak_kib / 2**20, run.frames)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(raw), str(whole_bodies[0])],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, gigabytes, made = map(float, done.stdout.split())
    print(
        f"\n{files * frames / seconds:,.0f} frames read and {made / seconds:,.0f} frames at 60 fps"
        f" made a second, {gigabytes:.2f} GiB at most"
    )
    # The promise; many times that was seen, so a busy machine does not fail it.
    assert made / seconds > 1500 and gigabytes < 2


def test_what_moves_the_joints(whole_bodies):
    """Hands and soft tissue taken away from a random motion of a random body."""
    folder, *_ = whole_bodies
    joints, with_soft, _ = amass.BodyModels(folder).joints_of("male")
    assert with_soft
    members = amass_recipes.motion(2000, 60)
    poses, trans, betas, dmpls = (members[n] for n in ("poses", "trans", "betas", "dmpls"))
    still = poses.copy()
    still[:, 66:] = 0

    def timed(pose, soft):
        began = time.perf_counter()
        made = joints.of_sequence(pose, betas, trans_Tx3=trans, dmpls_TxD=soft)
        return made, time.perf_counter() - began

    timed(poses[:512], dmpls[:512])
    whole, seconds = timed(poses, dmpls)
    for what, (made, less) in {
        "hands": timed(still, dmpls), "soft tissue": timed(poses, None),
    }.items():  # fmt: skip
        moved = np.linalg.norm(made - whole, axis=-1) * 1000
        print(f"\nwithout {what}: mean {moved.mean():.2f} mm, most {moved.max():.1f} mm; joint by"
              f" joint {np.round(moved.mean(0), 1)}; "
              f"{less / seconds:.2f} of the time", end="")  # fmt: skip
        assert np.isfinite(moved).all() and moved.max() > 0
