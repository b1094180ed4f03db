"""Single flipped bits over all that is kept: noticed, or without effect; never other numbers.

MBJAX_FLIPS says how many are tried of each kind (default 25); printed with -s. On 2026-11-25,
two cores, `MBJAX_FLIPS=1000 pytest tests/convert/test_flipped_bits.py -s`: a run's checkpoint 464
noticed, 536 without effect (26 files, of which most of the bytes are Orbax's own notes); .bin 860
and 140; .safetensors 1000 and 0.
"""

import os
import pathlib
import random
import shutil

import jax
import numpy as np
import pytest

from mbjax.convert import read as source
from mbjax.convert import write as target
from mbjax.training import checkpoint, loop
from tests.recipes import weights
from tests.recipes.processes import small_config, small_task

FLIPS = int(os.environ.get("MBJAX_FLIPS", "25"))


def from_checkpoint(folder):
    """Everything that a run goes on with."""
    meta, arrays = checkpoint.read(folder, checkpoint.ARRAYS)
    return meta, jax.tree.map(np.asarray, arrays)


def from_file(path):
    """Everything that an import keeps."""
    read = source.read(path, optimizer=True)
    adam = read.adam and (read.adam.count, read.adam.mu, read.adam.nu)
    return read.meta, (read.params, read.other, adam)


def run(folder):
    loop.run(small_config(4), small_task(), folder / "run", say=lambda text: None)
    return folder / "run/checkpoints/4"


def imported(folder):
    return pathlib.Path(target.to_folder(weights.source(), folder / "imported"))


def file(name):
    def make(folder):
        target.to_file(weights.source(), folder / name)
        return folder / name

    return make


KINDS = {
    "a run's checkpoint": (run, from_checkpoint),
    "an imported checkpoint": (imported, from_checkpoint),
    ".bin": (file("x.bin"), from_file),
    ".safetensors": (file("x.safetensors"), from_file),
}


def same(a, b) -> bool:
    if a[0] != b[0] or jax.tree.structure(a[1]) != jax.tree.structure(b[1]):
        return False
    leaves = ([np.asarray(leaf) for leaf in jax.tree.leaves(each[1])] for each in (a, b))
    pairs = zip(*leaves, strict=True)
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_no_flipped_bit_is_silent(kind, tmp_path):
    make, read = KINDS[kind]
    path = make(tmp_path)
    good = read(path)
    files = [p for p in ([path] if path.is_file() else sorted(path.rglob("*"))) if p.is_file()]
    files = [p for p in files if p.stat().st_size]
    sizes = [p.stat().st_size for p in files]
    pick = random.Random(0)
    counts = {"noticed": 0, "without effect": 0}
    for number in range(FLIPS):
        # Half of them by file, half by size.
        (chosen,) = pick.choices(files, None if number % 2 else sizes)
        data = chosen.read_bytes()
        place, bit = pick.randrange(len(data)), pick.randrange(8)
        damaged = bytearray(data)
        damaged[place] ^= 1 << bit
        chosen.write_bytes(damaged)
        try:
            found = read(path)
        except Exception:  # noqa: BLE001  whatever damaged files make Orbax raise
            counts["noticed"] += 1
        else:
            silent = not same(found, good)
            assert not silent, f"{chosen}, byte {place}, bit {bit}: other numbers, silently"
            counts["without effect"] += 1
        finally:
            chosen.write_bytes(data)
    print(f"\n{kind}: {FLIPS} flips in {len(files)} files, {sum(sizes):,} bytes: {counts}")
    assert same(read(path), good)
    shutil.rmtree(tmp_path, ignore_errors=True)
