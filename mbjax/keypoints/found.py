"""What a reader of one format hands on: persons frame by frame, layout and tracks unsettled."""

import dataclasses

from mbjax.keypoints.tracking import Observation


@dataclasses.dataclass
class Found:
    """What a file holds. image_size: (width, height). unit_square: x, y are shares of the image.

    layout: where the format itself states it, a name in mbjax.keypoints.layouts.LAYOUTS.
    """

    observations: list[Observation]
    layout: str | None = None
    fps: float | None = None
    unit_square: bool = False
    image_size: tuple[float, float] | None = None
