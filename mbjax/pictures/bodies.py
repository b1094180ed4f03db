"""Pictures of a body's mesh: shaded triangles, far ones first, drawn with Pillow.

Shapes in names: T frames, V vertices, F faces. Vertices are in camera axes (x right, y down, z
away), any unit, and are seen from along z, without perspective.
"""

import numpy as np
from PIL import Image, ImageDraw

from mbjax.atomic_files import written_beside

_SKIN, _BACKGROUND = np.array([196, 170, 150.0]), (255, 255, 255)
# Where the light comes from: over the viewer's left shoulder.
_LIGHT = np.array([-0.4, -0.6, -0.7]) / np.linalg.norm([-0.4, -0.6, -0.7])
SIZE = 360  # of a picture, pixels
_FINER = 2  # drawn so many times larger, then made smaller: smooth edges


def picture(
    verts_Vx3: np.ndarray, faces_Fx3: np.ndarray, centre, reach: float, size: int = SIZE
) -> Image.Image:
    """A square RGB picture (size, size) of what lies within `reach` of `centre` in x and y."""
    whole = size * _FINER
    corners_Fx3x3 = np.asarray(verts_Vx3, np.float64)[faces_Fx3]
    normals = np.cross(
        corners_Fx3x3[:, 1] - corners_Fx3x3[:, 0], corners_Fx3x3[:, 2] - corners_Fx3x3[:, 0]
    )
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    front = np.flatnonzero(normals[:, 2] < 0)
    front = front[np.argsort(-corners_Fx3x3[front, :, 2].mean(1), kind="stable")]
    light = 0.45 + 0.6 * np.clip(normals[front] @ _LIGHT, 0, 1)
    colours = np.clip(light[:, None] * _SKIN, 0, 255).astype(int)
    places = (corners_Fx3x3[front, :, :2] - np.asarray(centre)[:2]) / reach
    places = ((places + 1) * whole / 2).reshape(-1, 6)
    image = Image.new("RGB", (whole, whole), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    for corners, colour in zip(places.tolist(), map(tuple, colours.tolist()), strict=True):
        draw.polygon(corners, fill=colour)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def turned(verts_TxVx3: np.ndarray, yaw: float, centre) -> np.ndarray:
    """Vertices turned about a vertical axis through `centre`, by `yaw` degrees."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return (verts_TxVx3 - centre) @ turn.T + centre


def stacked(images: list[Image.Image]) -> Image.Image:
    """Pictures of one width, one below the other."""
    column = Image.new("RGB", (images[0].width, sum(i.height for i in images)), _BACKGROUND)
    top = 0
    for image in images:
        column.paste(image, (0, top))
        top += image.height
    return column


def save(image: Image.Image, path) -> None:
    with written_beside(path) as beside:
        image.save(beside)


def save_gif(images: list[Image.Image], path, fps: float) -> None:
    with written_beside(path) as beside:
        images[0].save(beside, save_all=True, append_images=images[1:], duration=1000 / fps, loop=0)


def beside(images: list[Image.Image]) -> Image.Image:
    """Pictures of one height in a row."""
    row = Image.new("RGB", (sum(i.width for i in images), images[0].height), _BACKGROUND)
    left = 0
    for image in images:
        row.paste(image, (left, 0))
        left += image.width
    return row
