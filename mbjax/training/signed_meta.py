"""The meta of a checkpoint with fingerprints of its arrays and a checksum of itself."""

import copy
from collections.abc import Mapping

from mbjax.devices.cluster import EndedTogether
from mbjax.training.fingerprint import Fingerprints, json_checksum

# Names in meta. A checkpoint that has any of them has all.
_PRINTS, _OWN = "fingerprints", "checksum"


class DamagedCheckpoint(ValueError):
    """What is in a checkpoint is not what was saved."""


class NotFinite(EndedTogether, ValueError):
    """An array with NaN or infinite entries was about to be saved."""


class Signed(dict):
    """meta with the fingerprints of the items' arrays and of itself.

    They are begun on the devices when this is made, and fetched by `items`, which json calls in the
    thread that writes.
    """

    def __init__(self, meta: Mapping, items: Mapping):
        # As it is now: what it is made of goes on changing while this is written.
        super().__init__(copy.deepcopy(unsigned(meta)))
        self._prints = {name: Fingerprints(tree) for name, tree in items.items()}

    def check(self) -> None:
        """NotFinite, naming an array with entries that are not."""
        for item, found in self._prints.items():
            for name in found.broken():
                raise NotFinite(
                    f"{item}/{name} holds NaN or infinite values at step {self['step']}; it is not "
                    "saved"
                )

    def items(self):
        self.check()
        prints = {name: found.texts() for name, found in self._prints.items()}
        meta = {**self, _PRINTS: prints}
        return {**meta, _OWN: json_checksum(meta)}.items()


def unsigned(meta: Mapping) -> dict:
    return {name: value for name, value in meta.items() if name not in (_PRINTS, _OWN)}


def is_signed(meta: Mapping) -> bool:
    return _PRINTS in meta or _OWN in meta


def verify_meta(meta, where) -> None:
    if not isinstance(meta, dict) or not isinstance(meta.get("step"), int):
        raise DamagedCheckpoint(f"{where}/meta: not the meta of a checkpoint")
    rest = {name: value for name, value in meta.items() if name != _OWN}
    if is_signed(meta) and meta.get(_OWN) != json_checksum(rest):
        raise DamagedCheckpoint(f"{where}/meta: its checksum does not fit; the file is damaged")


def verify_arrays(meta: Mapping, items: Mapping, where) -> None:
    """DamagedCheckpoint, naming the array, where one is not that of which meta has the fingerprint.

    items: {'params': tree, ...}, some or all of the checkpoint's, in any layout.
    """
    for name in differences(meta, items):
        raise DamagedCheckpoint(f"{where}: the array {name} is not what was saved")


def differences(meta: Mapping, items: Mapping) -> list[str]:
    """'params/blocks/0/kernel' for each array that is not the one of which meta has the fingerprint
    (or that one of the two has not); none where meta has no fingerprints."""
    if not is_signed(meta):
        return []
    found = {item: Fingerprints(tree).texts() for item, tree in items.items()}
    pairs = {item: (meta[_PRINTS].get(item, {}), found[item]) for item in items}
    return [
        f"{item}/{name}"
        for item, (saved, now) in pairs.items()
        for name in sorted({*saved, *now})
        if saved.get(name) != now.get(name)
    ]
