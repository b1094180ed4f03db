"""Two examples of each command, for the end of its --help."""

# infer and detect have theirs beside the lists of formats and outputs.
_EXAMPLES = {
    "quickstart": ("quickstart", "quickstart --steps 300 --workdir tried"),
    "pretrain": (
        "pretrain --config pretrain:tiny --workdir runs/tiny",
        "pretrain --config pretrain:mb --workdir runs/mb --config.sources.amass.dir=data/amass",
    ),
    "finetune": (
        "finetune pose3d --config pose3d:finetune --init runs/mb --workdir runs/pose3d",
        "finetune action --config action:custom --init best_epoch.bin --workdir runs/action",
    ),
    "evaluate": (
        "evaluate --checkpoint runs/mb",
        "evaluate --config pretrain:tiny_long --checkpoint tiny --out pictures",
    ),
    "bench": (
        "bench --config pretrain:tiny --steps 3",
        "bench --config pretrain:mb_lite --against torch --json",
    ),
    "bench-body": ("bench-body", "bench-body --batch-size 16 --json"),
    "sample-mesh": ("sample-mesh --out raw", "sample-mesh --out raw --body SMPL"),
    "fit-noise": (
        "fit-noise pairs.npz --out noise.json",
        "fit-noise pairs.npz --out noise.json --json",
    ),
    "import": (
        "import best_epoch.bin --out runs/released",
        "import hf://owner/name/model.safetensors --out runs/theirs",
    ),
    "push": (
        "push runs/mb hf://me/motionbert-mine --license cc-by-nc-4.0",
        "push runs/mb hf://me/motionbert-mine --which 4000 --dry-run look",
    ),
    "export": (
        "export runs/mb --out motionbert.bin --which 4000",
        "export tiny --out tiny.onnx",
        "export tiny --format web --out page",
    ),
    "parity": (
        "parity best_epoch.bin",
        "parity runs/mb --lengths 1 81 --reference MotionBERT",
    ),
    "stream-table": ("stream-table --checkpoint tiny", "stream-table --random mb_lite --window 27"),
    "cross-validate": (
        "cross-validate --config action:sample --init tiny --workdir runs/folds",
        "cross-validate --config action:custom --init best_epoch.bin --workdir runs/folds"
        " --config.data.dir=data/mine",
    ),
    "predict-action": (
        "predict-action runs/action keypoints.json",
        "predict-action runs/action keypoints.json --window 81",
    ),
    "recipes": (
        "recipes --motion data/people --budget 600 --seeds 3",
        "recipes --motion data/people --budget 600 --arms 'release; near' --workdir runs/recipes",
    ),
    "ablate": (
        "ablate pretraining --budget 300",
        "ablate actions --actions data/activities --budget 80 --seeds 3 --workdir runs/few-labels",
    ),
    "report": ("report runs/mb", "report runs/mb runs/lite --out curves.png"),
    "compare": (
        "compare motion/X3D.npy truth/X3D.npy",
        "compare motion/X3D.npy truth/X3D.npy --height 1.62 --out errors.npz",
        "compare motion/motion.npz truth.npy --world --fps 25",
        "compare motion/smpl.npz P2_23_outdoor_hug_tree_data.pkl --body BODIES --world",
    ),
    "motion-steps": ("motion-steps --checkpoint tiny", "motion-steps --checkpoint tiny --smooth 4"),
    "compile": (
        "compile --config pretrain:mb_lite --topology v5e:2x2",
        "compile --config pretrain:mb --topology v5e:4x4 --json",
    ),
    "prepare": (
        "prepare bvh --raw MOTIONS --out data/mine",
        "prepare amass --raw AMASS --body-models BODIES --out data/amass",
    ),
    "inspect": ("inspect sample:motion3d", "inspect data/mine --out pictures --check"),
    "verify": ("verify runs/mb", "verify best_epoch.bin --json"),
    "replay": ("replay runs/mb", "replay runs/mb --json"),
}  # fmt: skip


def text(command: str) -> str | None:
    """The lines for a command's --help, or None where it has its own."""
    lines = _EXAMPLES.get(command)
    return lines and "examples:\n" + "\n".join(f"  mbjax {line}" for line in lines)
