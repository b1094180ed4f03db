"""The variants of the encoder in table 6 of the paper, each trained for 3D pose from scratch.

    mbjax finetune pose3d --config configs/ablation.py:a --workdir runs/a \\
        --config.sources.h36m.dir=data/h36m --config.evaluation.dir=data/h36m
    mbjax ablate architecture --budget 500 --workdir ablation      # all of them, on the sample

Variants: `a` to `k`, as configs/pose3d.py:scratch but for the network; `sample_a` to `sample_k`,
the same changes of a network small enough for the sample corpus (depth 2, 4 heads, 60 channels).

All have as many attention blocks as `f` where the paper says so (a to f): one stream has two
attentions a level where two streams have four, so it is twice as deep. Rows i and j have 510
channels, which divide by 6 and by 10 as 512 do not; the paper does not say how it did this.
What to expect on Human3.6M, MPJPE in mm: a 40.3, b 41.2, c 41.8, d 41.5, e 39.6, f 39.2, g 39.7,
h 40.4, i 39.6, j 39.5, k 40.4.
"""

from configs import pose3d

# What differs from the design, f. Depth, heads and channels are of the full size, then the small.
STRUCTURE = {
    "a": {"structure": "st"},
    "b": {"structure": "ts"},
    "c": {"structure": "s+t"},
    "d": {"structure": "st-attention"},
    "e": {"fusion": "average"},
}
SIZE = {
    **{row: ({"depth": 10}, {"depth": 4}) for row in "abcd"},
    "g": ({"depth": 4}, {"depth": 1}),
    "h": ({"depth": 6}, {"depth": 3}),
    "i": ({"num_heads": 6, "dim_feat": 510}, {"num_heads": 3}),
    "j": ({"num_heads": 10, "dim_feat": 510}, {"num_heads": 5}),
    "k": ({"dim_rep": 256}, {"dim_rep": 30}),
}
ROWS = "abcdefghijk"
VARIANTS = (*ROWS, *(f"sample_{row}" for row in ROWS))


def get_config(variant: str = "f"):
    if variant not in VARIANTS:
        raise ValueError(f"configs/ablation.py has no variant {variant!r}; it has {VARIANTS}")
    sample, row = variant.startswith("sample_"), variant[-1]
    config = pose3d.get_config("sample_scratch" if sample else "scratch")
    if sample:
        shrink(config)
    config.model.update(STRUCTURE.get(row, {}))
    config.model.update(SIZE.get(row, ({}, {}))[sample])
    return config


def shrink(config):
    """To what many arms of an ablation have time for on two cores: 9 frames, 7.5 a second."""
    config.model.update(dim_feat=60, dim_rep=60, maxlen=9)
    config.sources.sample.update(frames=9, frame_step=4)
    config.batch_size = 24
    config.evaluation.update(frames=9, frame_step=4, batch_size=192)
