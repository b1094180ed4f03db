"""A turned square of a picture, and the way from it back to the picture.

Shapes in names: N points, 2 is x, y. Coordinates are pixels of the picture, y down; angles are
radians, clockwise as seen.
"""

import dataclasses
import math

import numpy as np
from PIL import Image

# The square is larger than the circle round a person by this (as the nets were trained).
_MARGIN = 1.25


@dataclasses.dataclass(frozen=True)
class Region:
    """A square with a centre, a side in pixels, and how far it is turned."""

    x: float
    y: float
    side: float
    angle: float

    @classmethod
    def round_person(cls, hips_2: np.ndarray, rim_2: np.ndarray) -> "Region":
        """Of a person with the middle of the hips here and a point of the circle round them there.

        The direction from one to the other is upwards in the square.
        """
        dx, dy = (float(v) for v in rim_2 - hips_2)
        side = 2 * _MARGIN * math.hypot(dx, dy)
        angle = math.pi / 2 - math.atan2(-dy, dx)
        angle -= 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))
        return cls(float(hips_2[0]), float(hips_2[1]), side, angle)

    def to_picture(self, points_Nx2: np.ndarray) -> np.ndarray:
        """Points of the square, whose corners are (0, 0) and (1, 1), in the picture."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        x, y = ((points_Nx2 - 0.5) * self.side).T
        return np.stack([cos * x - sin * y + self.x, sin * x + cos * y + self.y], axis=-1)

    def cut(self, picture_HxWx3: np.ndarray, size: int, black_outside: bool = False) -> np.ndarray:
        """The square as a picture of size x size, bilinear, float32 from 0 to 255.

        What lies outside the picture has its nearest pixel's value, or is black. A pixel's value is
        that of its corner, as where the nets were made.
        """
        height, width = picture_HxWx3.shape[:2]
        corners = self.to_picture(np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]))
        inside = (corners >= 0).all() and (corners < [width - 1, height - 1]).all()
        if inside or black_outside:
            return self._cut_by_pillow(picture_HxWx3, size)
        at = np.arange(size) / size
        points = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
        x, y = self.to_picture(points).T.astype(np.float32)
        left, top = np.floor(x), np.floor(y)
        right_part, lower_part = (x - left)[:, None], (y - top)[:, None]
        columns = [np.clip(left + i, 0, width - 1).astype(np.intp) for i in (0, 1)]
        rows = [np.clip(top + i, 0, height - 1).astype(np.intp) * width for i in (0, 1)]
        pixels = picture_HxWx3.reshape(-1, 3)
        upper, lower = (
            pixels[row + columns[0]] * (1 - right_part) + pixels[row + columns[1]] * right_part
            for row in rows
        )
        cut = upper * (1 - lower_part) + lower * lower_part
        return cut.reshape(size, size, 3).astype(np.float32)

    def _cut_by_pillow(self, picture_HxWx3, size):
        """The same, several times as fast, and black outside the picture."""
        step = self.side / size
        a, b = step * math.cos(self.angle), -step * math.sin(self.angle)
        (x, y), *_ = self.to_picture(np.array([[0.0, 0.0]]))
        # Pillow takes a pixel's value for that of its middle, in both pictures.
        x, y = x + 0.5 - (a + b) / 2, y + 0.5 - (a - b) / 2
        turned = Image.fromarray(picture_HxWx3).transform(
            (size, size), Image.Transform.AFFINE, (a, b, x, -b, a, y), Image.Resampling.BILINEAR
        )
        cut = np.asarray(turned, np.float32)
        return np.where(cut > 0, cut + 0.5, cut)  # Pillow cuts fractions off


def whole(picture_HxWx3: np.ndarray) -> Region:
    """The upright square round a whole picture."""
    height, width = picture_HxWx3.shape[:2]
    return Region(width / 2, height / 2, float(max(width, height)), 0.0)
