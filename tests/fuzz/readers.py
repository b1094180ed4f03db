"""Every reader of files that users bring: small sane files for it, and how it is called.

Each: (empty folder) -> a function without arguments that reads what lies in the folder.
"""

import json
import pickle
import shutil

import numpy as np

from tests.recipes.settings import GOLDEN

READERS = {}


def reader(function):
    READERS[function.__name__] = function
    return function


# --- keypoints ------------------------------------------------------------------------------------


def _keypoints(path, **options):
    from mbjax.keypoints import read

    return lambda: read.read(path, **options)


@reader
def alphapose(folder):
    from tests.recipes import keypoints as made

    return _keypoints(made.write(folder, made.results(made.keypoints("halpe26"), idx=[1.0])))


@reader
def alphapose_open(folder):
    from tests.recipes import keypoints as made

    points = made.keypoints("coco18")
    return _keypoints(made.write(folder, made.alphapose_18(points, "people", "pose_keypoints_2d")))


@reader
def coco_results(folder):
    from tests.recipes import keypoints as made

    return _keypoints(made.write(folder, made.results(made.keypoints("coco17"))))


@reader
def mmpose(folder):
    from tests.recipes import keypoints as made

    data = {
        "meta_info": {"dataset_name": "coco"},
        "instance_info": made.mmpose(made.keypoints("coco17")),
    }
    return _keypoints(made.write(folder, data))


@reader
def openpose(folder):
    from tests.recipes import keypoints as made

    return _keypoints(made.openpose(folder / "json", made.keypoints("body25", frames=4)))


@reader
def mediapipe(folder):
    from tests.recipes import keypoints as made

    data = made.landmarks(made.keypoints("mediapipe33", frames=4), 640, 480)
    return _keypoints(made.write(folder, data), image_size=(640, 480))


@reader
def rtmlib(folder):
    from tests.recipes import keypoints as made

    return _keypoints(made.write(folder, made.rtmlib(made.keypoints("coco17"))))


@reader
def keypoint_npy(folder):
    from tests.recipes import keypoints as made

    np.save(folder / "points.npy", made.keypoints("h36m17"))
    return _keypoints(folder / "points.npy", layout="h36m17")


@reader
def keypoint_npz(folder):
    from tests.recipes import keypoints as made

    points = made.keypoints("halpe26")
    np.savez(folder / "a.npz", keypoints=points[..., :2], scores=points[..., 2], fps=25.0)
    return _keypoints(folder / "a.npz")


@reader
def detectron_npz(folder):
    from tests.recipes import keypoints as made

    return _keypoints(made.detectron_npz(folder / "a.npz", made.keypoints("coco17", frames=4)))


# --- weights and runs -----------------------------------------------------------------------------


def _tiny_network(**options):
    import dataclasses

    from tests.recipes import weights

    config = dataclasses.replace(weights.TINY, dim_feat=4, dim_rep=4, depth=1, maxlen=3)
    return weights.source(config, **options)


def _weights(path):
    from mbjax.convert import read

    return lambda: read.read(path, optimizer=True)


@reader
def torch_weights(folder):
    from mbjax.convert import write

    write.to_file(_tiny_network(), folder / "a.bin")
    return _weights(folder / "a.bin")


@reader
def safetensors_weights(folder):
    from mbjax.convert import write

    write.to_file(_tiny_network(optimizer=False), folder / "a.safetensors")
    return _weights(folder / "a.safetensors")


@reader
def checkpoint(folder):
    from mbjax.convert import write

    write.to_folder(_tiny_network(), folder / "run")
    return _weights(folder / "run")


@reader
def metrics(folder):
    from mbjax.training import run_log

    lines = [json.dumps({"step": step, "loss": 1 / step}) for step in range(1, 9)]
    path = folder / "metrics.jsonl"
    path.write_text("\n".join(lines) + "\n")

    def read():
        content = path.read_bytes()
        run_log.keep_until(path, 5)
        run_log.read_metrics(folder)
        path.write_bytes(content)

    return read


@reader
def run_config(folder):
    from ml_collections import ConfigDict

    from mbjax.training import workdir

    config = ConfigDict({"seed": 0, "model": {"depth": 2}, "sources": {"a": {"dir": "x"}}})
    workdir.claim_workdir(folder, config)
    (folder / "checkpoints" / "5").mkdir(parents=True)
    return lambda: workdir.claim_workdir(folder, config)


# --- datasets -------------------------------------------------------------------------------------


@reader
def dataset(folder):
    from mbjax.data import health, records

    source = records.find_dataset("sample:motion3d")
    for name in ("dataset_info.json", "features.json", "card.json"):
        shutil.copy(source / name, folder / name)
    (shard,) = source.glob("*-test.tfrecord*")
    shutil.copy(shard, folder / shard.name)
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"] = [split for split in info["splits"] if split["name"] == "test"]
    (folder / "dataset_info.json").write_text(json.dumps(info))

    def read():
        reader = records.RecordReader(folder, "test")
        for i in range(len(reader)):
            reader[i]
        health.inspect(folder, check=True)

    return read


@reader
def noise_table(folder):
    from mbjax.data.detector_noise import DetectionNoise

    (folder / "table.json").write_text(DetectionNoise.load().to_json())
    return lambda: DetectionNoise.load(folder / "table.json")


@reader
def noise_pairs(folder):
    from mbjax.data import detector_noise_fit

    rng = np.random.default_rng(0)
    true = rng.uniform(-1, 1, (120, 17, 2))
    detected = np.concatenate([true + 0.01, rng.uniform(0.2, 0.9, (120, 17, 1))], axis=-1)
    np.savez(folder / "a.npz", detected=detected, true=true)
    return lambda: detector_noise_fit.fit(*detector_noise_fit.read_pairs(folder / "a.npz"))


# --- bodies and motion ----------------------------------------------------------------------------


@reader
def smpl_pickle(folder):
    from mbjax.body.files import read_smpl
    from tests.recipes import body

    content = body.as_published_pickle(body.random_body(0, num_vertices=24))
    body.write_python2_pickle(folder / "a.pkl", content, 2)
    return lambda: read_smpl(folder / "a.pkl")


@reader
def smpl_folder(folder):
    from mbjax.body import smpl
    from tests.recipes import body

    body.smpl_folder(folder, num_vertices=24)
    return lambda: smpl.load(str(folder))


@reader
def plain_pickle(folder):
    from mbjax import safe_pickle

    content = {
        "a": np.arange(12.0).reshape(3, 4), "b": [1, "x", None, (2.5, b"y")], "c": np.float32(3),
        "d": {"e": np.array([np.zeros(2), None], dtype=object)}, 5: ["f", 6], "g": 10**30,
    }  # fmt: skip
    (folder / "a.pkl").write_bytes(pickle.dumps(content, 2))
    return lambda: safe_pickle.load(folder / "a.pkl")


@reader
def bvh_file(folder):
    from mbjax.motion.bvh_reader import read_bvh
    from tests.recipes import bvh

    bvh.write(folder / "a.bvh", 12)
    return lambda: read_bvh(folder / "a.bvh").positions()


@reader
def motion_npy(folder):
    from mbjax.motion import compare

    np.save(folder / "X3D.npy", np.random.default_rng(0).normal(size=(5, 17, 3)))
    return lambda: compare.compare(
        compare.read_motion(folder / "X3D.npy"), np.ones((5, 17, 3)) * np.arange(17)[:, None], 1.7
    )


@reader
def parity_input(folder):
    from mbjax.convert import parity
    from tests.recipes import weights

    np.savez(folder / "a.npz", x=np.zeros((2, 9, 17, 3), np.float32))
    return lambda: parity.read_clips(str(folder / "a.npz"), weights.TINY)


# --- raw corpora ----------------------------------------------------------------------------------


def _corpus(folder, name, **options):
    from data_prep import corpus, prepare
    from data_prep.report import Report

    def read():
        kind = prepare.load_corpus(name)
        chosen = corpus.make_options(kind, options)
        for source in corpus.find_sources(kind, folder, chosen):
            for _ in corpus.checked_records(kind, source, chosen, Report(source.name)):
                pass

    return read


@reader
def corpus_h36m(folder):
    from tests.recipes import h36m

    camera = "54138969"
    columns = {
        split: h36m.split(seed, [(f"s_0{seed}_act_14", 9, camera)])
        for seed, split in enumerate(("train", "test"))
    }
    h36m.write(folder / "h36m_sh_conf_cam_source_final.pkl", columns)
    return _corpus(folder, "h36m", frames=5, stride=4, test_stride=5)


@reader
def corpus_mesh(folder):
    from tests.recipes import h36m

    columns = {s: h36m.mesh_split(0, [("a", 9, "x")]) for s in ("train", "test")}
    h36m.write(folder / "mesh_det_pw3d.pkl", columns)
    return _corpus(folder, "mesh_pw3d", frames=5, stride=4, test_stride=5)


@reader
def corpus_ntu(folder):
    rng = np.random.default_rng(0)
    annotations = [
        {
            "frame_dir": f"S{i}", "label": i, "img_shape": (1080, 1920), "total_frames": 4,
            "original_shape": (1080, 1920),
            "keypoint": rng.uniform(0, 900, (1 + i, 4, 17, 2)).astype(np.float16),
            "keypoint_score": rng.uniform(0.1, 1, (1 + i, 4, 17)).astype(np.float16),
        }
        for i in range(3)
    ]  # fmt: skip
    content = {"split": {"xsub_train": ["S0", "S1"], "xsub_val": ["S2"]}}
    (folder / "ntu60_hrnet.pkl").write_bytes(pickle.dumps({**content, "annotations": annotations}))
    return _corpus(folder, "ntu60")


@reader
def corpus_posetrack(folder):
    source = sorted((GOLDEN / "corpora" / "posetrack18_annotations" / "train").glob("*.json"))[0]
    (folder / "train").mkdir()
    shutil.copy(source, folder / "train" / "a.json")
    return _corpus(folder, "posetrack")


@reader
def corpus_instavariety(folder):
    rng = np.random.default_rng(0)
    np.save(folder / "motion_all.npy", rng.uniform(0.1, 300, (24, 17, 3)))
    np.save(folder / "id_all.npy", np.repeat([0.0, 1.0], 12))
    return _corpus(folder, "instavariety", frames=5, stride=5)


@reader
def corpus_instavariety_tracks(folder):
    from data_prep.corpora import instavariety

    (folder / "tag" / "video" / "1").mkdir(parents=True)
    for t in range(6):
        frame = {
            name: {"x": 10.0 * i, "y": 5.0 * i + t, "logits": 0.5}
            for i, name in enumerate(instavariety._NAMES)
            if name
        }
        (folder / f"tag/video/1/{t}.json").write_text(json.dumps({"frame": t, **frame}))
    return _corpus(folder, "instavariety", frames=3, stride=3)


@reader
def corpus_pairs(folder):
    rng = np.random.default_rng(0)
    np.savez(
        folder / "a.npz", keypoints=rng.uniform(0, 900, (9, 17, 3)),
        pose=rng.normal(0, 300, (9, 17, 3)), image_size=[1920, 1080], fps=30.0, action="walk",
    )  # fmt: skip
    return _corpus(folder, "pairs", frames=5, stride=4)


@reader
def corpus_joints(folder):
    pose = np.random.default_rng(0).normal(0, 0.15, (9, 17, 3))
    np.savez(folder / "a.npz", **{"train/walk": pose, "test/run": pose})
    return _corpus(folder, "joints", frames=5, stride=4)


@reader
def corpus_clips(folder):
    (folder / "H36M-SH" / "train").mkdir(parents=True)
    clip = np.random.default_rng(0).normal(size=(5, 17, 3))
    content = pickle.dumps({"data_input": clip, "data_label": clip})
    (folder / "H36M-SH" / "train" / "a.pkl").write_bytes(content)
    return _corpus(folder, "clips", frames=5, subset="H36M-SH")


@reader
def corpus_amass(folder):
    from tests.recipes import amass

    amass.write_bodies(folder / "body_models", ("male",), ("male",), num_vertices=104)
    amass.write(folder, "CMU/01/01", **amass.motion(8, 60))
    return _corpus(folder, "amass")


@reader
def corpus_mpi(folder):
    import scipy.io

    rng = np.random.default_rng(0)
    (folder / "S1" / "Seq1").mkdir(parents=True)
    cells = {}
    for name, width in (("annot2", 56), ("univ_annot3", 84)):
        cells[name] = np.empty((14, 1), object)
        for camera in range(14):
            cells[name][camera, 0] = rng.uniform(0, 900, (6, width)).astype(np.float32)
    scipy.io.savemat(folder / "S1" / "Seq1" / "annot.mat", cells)
    return _corpus(folder, "mpi_inf_3dhp", frames=5, stride=5, cameras="0,1")


@reader
def corpus_mpi_hdf5(folder):
    import h5py

    rng = np.random.default_rng(0)
    (folder / "TS1").mkdir()
    with h5py.File(folder / "TS1" / "annot_data.mat", "w") as file:
        file["annot2"] = rng.uniform(0, 900, (6, 1, 17, 2))
        file["univ_annot3"] = rng.uniform(0, 900, (6, 1, 17, 3))
        file["valid_frame"] = np.ones((6, 1))
    return _corpus(folder, "mpi_inf_3dhp", frames=5, stride=5)


@reader
def corpus_bvh(folder):
    from data_prep.bvh_namings import CMU
    from tests.recipes import bvh

    bvh.write(folder / "a.bvh", 31)
    naming = {key: CMU[key] for key in ("joints", "metres_per_unit")}
    (folder / "naming.json").write_text(json.dumps(naming))
    return _corpus(folder, "bvh", naming=str(folder / "naming.json"), frames=9, stride=9)


@reader
def corpus_bvh_told(folder):
    """Of a naming that is told from the file."""
    from tests.recipes import bvh

    bvh.write(folder / "a.bvh", 31)
    (folder / "a.bvh").write_text((folder / "a.bvh").read_text().replace("Neck1", "Neck"))
    return _corpus(folder, "bvh", frames=9, stride=9)


@reader
def corpus_actions(folder):
    from tests.recipes import action

    action.coco_file(folder / "a.json", frames=5)
    action.coco_file(folder / "b.json", frames=4, persons=2)
    (folder / "labels.csv").write_text(
        "file,label,subject,split,layout,width,height,fps\n"
        "a.json,wave,anna,train,coco17,640,480,25\nb.json,walk,ben,test,,,,\n"
    )
    return _corpus(folder, "actions", layout="coco17")


@reader
def part(folder):
    from data_prep import parts
    from data_prep.report import Report

    record = {"pose": np.zeros((3, 17, 3), np.float32), "source": "a", "first_frame": 0, "fps": 1.0}
    path = folder / "a.npz"
    parts.write_part(path, [("0", record), ("1", record)], Report("a"))

    def read():
        parts.read_report(path)
        parts.read_part(path)

    return read
