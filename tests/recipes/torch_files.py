"""PyTorch files read, compared, and taken through a checkpoint folder and back."""

import torch

from mbjax.convert import read as source
from mbjax.convert import write as target


def same_content(a, b):
    """Nested dicts and lists of tensors and numbers, bit for bit, in the same order."""
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.numpy().tobytes() == b.numpy().tobytes()
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same_content(a[key], b[key])
    else:
        assert type(a) is type(b) and a == b
    return True


def load(path):
    return torch.load(path, weights_only=True)


def through_a_folder(path, tmp_path, **options):
    read = source.read(path, num_heads=2, optimizer=True)
    target.to_folder(read, tmp_path / "run")
    target.to_file(source.read(tmp_path / "run", optimizer=True), tmp_path / "out.bin", **options)
    return load(tmp_path / "out.bin")
