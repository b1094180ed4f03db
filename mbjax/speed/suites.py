"""The figures that the benchmark gate watches, by suite.

`cpu` and `tpu` are deterministic, read off compiled programs: the training step of Lite at depth 1,
which has every operation of the whole one and compiles in a minute. `tpu` needs the TPU compiler
and no TPU. `twin` is timed: ratios against the PyTorch twin on this machine, for runs by hand.
"""

from collections.abc import Callable

from mbjax import configuration
from mbjax.speed.gate import Figure

_LITE = "configs/pretrain.py:mb_lite"
_TOPOLOGY = "v5e:2x2"
# Sizes of the tiny run whose compilations are counted.
_TINY = (
    "--config.model.dim_feat=16", "--config.model.dim_rep=16", "--config.model.depth=1",
    "--config.model.num_heads=2", "--config.model.maxlen=9", "--config.batch_size=8",
)  # fmt: skip


def cpu() -> list[Figure]:
    """Memory of the step on the CPU, and how many programs a few steps compile."""
    memory = step_memory(configuration.load(_LITE, ["--config.model.depth=1"]))
    return [
        # The compiler's fusions depend on the processor; the plain form takes twice as much.
        Figure("cpu lite depth 1 temporary memory", memory / 1e6, "MB", "lower", 0.25),
        Figure("compilations of a step", compilations(), "programs"),
    ]


def step_memory(config) -> float:
    """Bytes of activations and gradients of a config's step, one clip on one CPU device."""
    import jax

    from mbjax.speed.pod_step import PodStep

    step = PodStep(config, jax.devices("cpu")[:1])
    return step.compile(1).memory_analysis().temp_size_in_bytes


def compilations(spoil: Callable = lambda batch, number: batch) -> int:
    """Programs that four steps of one source compile; 1 where nothing is compiled twice.

    spoil: (batch, step number) -> batch, for a test that makes steps differ.
    """
    import jax

    from mbjax.data.feed import to_devices
    from mbjax.devices import sharding
    from mbjax.speed.one_source import OneSource
    from mbjax.training.step import prepared

    config = configuration.load("configs/pretrain.py:tiny", list(_TINY))
    mesh = sharding.make_mesh(1, jax.devices()[:1])
    source = OneSource(config, made_up=True)
    run = prepared(source.task(config.batch_size), source.settings(), mesh)
    state, rows = run.new_state(), source.rows(config.batch_size)
    step = run.steps[source.name]
    for number in range(4):
        batch = to_devices(rows, sharding.batch_sharding(mesh), config.batch_size)
        state, _ = step(state, spoil(batch, number))
    return step._cache_size()


def tpu(overrides: tuple[str, ...] = ()) -> list[Figure]:
    """What the TPU compiler says of the step on four chips of v5e, one clip each, in bfloat16.

    overrides: of the config. ImportError without the compiler.
    """
    from mbjax.devices import chips
    from mbjax.speed.pod_step import PodStep, topology_devices

    config = configuration.load(
        _LITE, ["--config.model.depth=1", "--config.model.dtype=bfloat16", *overrides]
    )
    devices = topology_devices(_TOPOLOGY)
    report = PodStep(config, devices).report(len(devices), chips.find(_TOPOLOGY))
    collectives = report["collectives"].values()
    name = f"tpu {_TOPOLOGY} lite depth 1"
    return [
        Figure(f"{name} cycles", report["predicted"]["cycles"], "cycles", "lower", 0.03),
        Figure(f"{name} bytes accessed", report["bytes_accessed"] / 1e6, "MB", "lower", 0.03),
        Figure(f"{name} memory", report["memory_needed"] / 1e6, "MB", "lower", 0.03),
        Figure(f"{name} collectives", sum(c["count"] for c in collectives), "operations"),
        Figure(f"{name} collective bytes", sum(c["bytes"] for c in collectives) / 1e6, "MB",
               "lower", 0.01),
    ]  # fmt: skip


def twin(turns: int = 10) -> list[Figure]:
    """How many times as fast as the PyTorch twin, eager in float32: Lite, 243 frames, one clip."""
    from mbjax.models.dstformer import DSTformerConfig
    from mbjax.speed import against

    report = against.run(
        DSTformerConfig.mb_lite(), 243, 1, turns, lambda text: None, ("eager float32",)
    )
    found = report["modes"]["eager float32"]
    return [
        Figure(f"{report['device']} lite {part} against torch", row["ratio"], "x", "higher", 0.15)
        for part, row in found.items()
    ]


SUITES: dict[str, Callable[[], list[Figure]]] = {"cpu": cpu, "tpu": tpu, "twin": twin}
DETERMINISTIC = ("cpu", "tpu")
