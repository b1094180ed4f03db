"""MotionBERT in JAX.

model = mbjax.load("best_epoch.bin")
pose = model(keypoints)  # (batch, frames, 17 joints, x y confidence) -> (..., x y z)
motion = model.represent(keypoints)  # (..., 512)
motion = mbjax.lift(model, "alphapose-results.json")  # every person, every frame
stream = mbjax.Stream(model, window=27, lookahead=4)  # pose = stream.push(keypoints)
lifted = mbjax.pipeline("tiny")("dance.mp4", height=1.75)  # lifted.save("out"), lifted.show()
"""

import importlib

# Loaded when first asked for: `import mbjax` itself costs nothing.
_PUBLIC = {
    "load": "mbjax.convert.load", "load_into": "mbjax.convert.load", "lift": "mbjax.lifting.lift",
    "Stream": "mbjax.lifting.stream", "pipeline": "mbjax.source_to_motion",
}  # fmt: skip

__all__ = list(_PUBLIC)
__version__ = "0.1.0"  # setup.py reads it from here


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mbjax' has no attribute {name!r}")


def __dir__():
    return [*_PUBLIC, *(name for name in globals() if name.startswith("__"))]
