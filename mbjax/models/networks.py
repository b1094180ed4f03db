"""The networks by the names that checkpoints know them by."""

import dataclasses
from collections.abc import Mapping

from flax import nnx

from mbjax.models import action, mesh
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.remarks import one_line

# kind: (network, sizes of its head). The encoder alone, with its pose head, is 'dstformer'.
WITH_HEAD: dict[str, tuple[type, type]] = {
    "action": (action.ActionNet, action.ActionHeadConfig),
    "embed": (action.EmbedNet, action.EmbedHeadConfig),
    "mesh": (mesh.MeshNet, mesh.MeshHeadConfig),
    "mesh_refine": (mesh.RefineNet, mesh.RefineHeadConfig),
}


@dataclasses.dataclass(frozen=True)
class Network:
    """What a network is: its kind, its encoder's sizes, its head's. Goes into a checkpoint's meta.

    ValueError, in one line, for a kind that is not known.
    """

    encoder: DSTformerConfig
    kind: str = "dstformer"
    head: object | None = None

    def __post_init__(self):
        if self.kind != "dstformer" and self.kind not in WITH_HEAD:
            raise ValueError(
                f"a network of kind {self.kind!r} is not known to this version; it knows "
                f"dstformer, {', '.join(WITH_HEAD)}"
            )

    @classmethod
    def from_meta(cls, meta: Mapping) -> "Network":
        """The inverse of `meta`; ValueError where a newer version wrote it, or it is damaged."""
        kind = meta.get("kind")
        try:
            _check_types(DSTformerConfig, meta["dstformer"])
            if kind in WITH_HEAD:
                _check_types(WITH_HEAD[kind][1], meta["head"])
            encoder = DSTformerConfig(**meta["dstformer"])
            head = WITH_HEAD[kind][1](**meta["head"]) if kind in WITH_HEAD else None
        except (TypeError, KeyError) as error:
            raise ValueError(
                f"its network is of a newer version of this package ({error})"
            ) from None
        return cls(encoder, kind, head)

    def meta(self) -> dict:
        encoder = dataclasses.asdict(self.encoder)
        for name in ("attention", "remat_keep", "scan_levels"):
            del encoder[name]  # belongs to the device a run has, not to the network
        meta = {"kind": self.kind, "dstformer": encoder}
        return meta if self.head is None else {**meta, "head": dataclasses.asdict(self.head)}

    def make(self, rngs: nnx.Rngs) -> nnx.Module:
        if self.kind == "dstformer":
            return DSTformer(self.encoder, rngs=rngs)
        return WITH_HEAD[self.kind][0](self.encoder, self.head, rngs=rngs)

    def abstract(self) -> nnx.Module:
        """The network with shapes for arrays."""
        return nnx.eval_shape(lambda: self.make(nnx.Rngs(0)))


_LARGEST = {"depth": 256}  # layers are made one by one; sizes are those of arrays


def _check_types(config: type, sizes) -> None:
    """ValueError where sizes read from a file are not of the types that the config has."""
    if not isinstance(sizes, Mapping):
        raise ValueError("the description of its network is damaged: no sizes in it")
    for field in dataclasses.fields(config):
        value, kind = sizes.get(field.name, field.default), field.type
        if kind is int:
            right = type(value) is int and 1 <= value <= _LARGEST.get(field.name, 2**20)
        elif kind is float:
            right = type(value) in (int, float) and 0 <= value < 2**20
        else:
            right = isinstance(value, bool if kind is bool else str)
        if not right:
            shown = one_line(repr(value), 60)
            raise ValueError(f"the description of its network is damaged: {field.name} is {shown}")
