"""Is there an accelerator at all? JAX is told to look at the CPU alone only where there is none.

Where libtpu is installed (it compiles for pods from any machine), JAX loads it to look for chips,
and on a machine without any it prints half a dozen lines of errors before every result.
"""

import importlib.metadata
import importlib.util
import os
import pathlib
from collections.abc import Mapping

# Device nodes: TPUs of older and newer kernels, NVIDIA, AMD, a GPU through WSL.
_NODES = ("accel*", "accel/*", "vfio/[0-9]*", "nvidia*", "kfd", "dxg")
# Makers in PCI's own numbers: Google, NVIDIA, AMD, Intel (whose GPUs are told by the class).
_GOOGLE, _GPU_MAKERS, _DISPLAY = 0x1AE0, (0x10DE, 0x1002, 0x8086), 0x03
_VARIABLES = ("TPU_", "CLOUD_TPU", "MEGASCALE_", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")


def spare_libtpu(environ: dict = os.environ) -> None:
    """Sets JAX_PLATFORMS=cpu where libtpu is installed and there is no accelerator.

    Before JAX is imported. Whatever the user has set, and any sign of an accelerator, stands.
    """
    chosen = any(environ.get(name) for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME"))
    if not chosen and importlib.util.find_spec("libtpu") and not any_sign(environ):
        environ["JAX_PLATFORMS"] = "cpu"


def any_sign(environ: Mapping = os.environ, root: pathlib.Path = pathlib.Path("/")) -> bool:
    """Whether anything speaks for a TPU, a GPU or another device that a plugin of JAX drives."""
    return (
        any(name.startswith(_VARIABLES) for name in environ)
        or any(any((root / "dev").glob(pattern)) for pattern in _NODES)
        or (root / "proc/driver/nvidia").exists()
        or any(map(_is_accelerator, (root / "sys/bus/pci/devices").glob("*")))
        or bool(importlib.metadata.entry_points(group="jax_plugins"))
        or importlib.util.find_spec("jax_plugins") is not None
    )


def _is_accelerator(device: pathlib.Path) -> bool:
    try:
        maker, kind = (int((device / name).read_text(), 16) for name in ("vendor", "class"))
    except (OSError, ValueError):
        return False
    return maker == _GOOGLE or (maker in _GPU_MAKERS and kind >> 16 == _DISPLAY)
