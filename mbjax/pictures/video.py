"""A side-by-side MP4: the video with its 2D keypoints, and the 3D motion from a steady camera.

Shapes in names: F frames, M persons, J joints. Needs PyAV (FFmpeg's libraries), the extra [video].
"""

import fractions
import os
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from mbjax.atomic_files import written_beside
from mbjax.detect.frames import Video, decoded, import_av, quarter_turns
from mbjax.pictures.scene import Scene
from mbjax.pose.skeleton import JOINTS, LIMBS

# Rows of the picture: small enough that two cores encode it faster than it plays.
_HEIGHT, _SMALL_HEIGHT = 540, 360
_LEFT, _RIGHT, _TRUNK_ON_VIDEO, _TRUNK = (31, 119, 180), (214, 39, 40), (255, 214, 64), (50, 50, 50)
_PAPER, _GRID, _DARK = (250, 250, 250), (218, 221, 227), (40, 42, 48)
# The 3D camera: turned and raised by these angles, in radians.
_YAW, _PITCH = -0.6, 0.2


def side_by_side(scene: Scene, path: str | os.PathLike, fps: float, video: Video | None) -> int:
    """Writes the MP4 (H.264), a picture per frame of the scene: how many had no video under them.

    fps: at which it plays. video: the one that was detected on, frame 0 its first; None, and the
    keypoints are drawn alone. The file is written beside its place and moved there when whole.
    """
    width, draw_left = _left_panel(scene, video)
    right = _Right(scene)
    missing = 0
    somebody_F = np.isfinite(scene.pose_FxMxJx3[..., 0]).any((1, 2))
    last = np.flatnonzero(somebody_F)[-1]

    def canvases():
        nonlocal missing
        for f, picture in enumerate(_pictures(scene.frames_F, video, (width, _HEIGHT))):
            if picture is None and f > last:
                return  # the video has fewer frames than its file says
            missing += picture is None and video is not None
            canvas = right.canvas(width)
            draw_left(canvas, picture, f)
            right.draw(canvas, width, f)
            yield canvas

    write(canvases(), path, fps, (width + _HEIGHT, _HEIGHT))
    return missing


def small(scene: Scene, path: str | os.PathLike, fps: float, video: Video) -> None:
    """Writes an MP4 of a scene's frames of a video, 360 rows high, for a page to jump about in."""
    width, height = video.size
    size = (max(2, round(width * _SMALL_HEIGHT / height / 2) * 2), _SMALL_HEIGHT)

    def pictures():
        newest = Image.new("RGB", size, _DARK)
        for picture in _pictures(scene.frames_F, video, size):
            newest = picture or newest
            yield newest

    write(pictures(), path, fps, size, {"preset": "medium", "crf": "28", "g": "12"})


def write(
    pictures: Iterable[Image.Image], path: str | os.PathLike, fps: float, size: tuple[int, int],
    options: dict[str, str] | None = None,
) -> None:  # fmt: skip
    """An MP4 (H.264) of RGB pictures of one size (width, height), both even.

    options: of the encoder x264. The file is written beside its place and moved there when whole.
    ImportError without PyAV.
    """
    av = import_av()
    rate = fractions.Fraction(fps).limit_denominator(1001)
    try:
        with (
            written_beside(path) as beside,
            av.open(str(beside), "w", options={"movflags": "faststart"}) as container,
        ):
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.options = options or {"preset": "superfast", "crf": "21"}
            stream.thread_type = "AUTO"
            for picture in pictures:
                for packet in stream.encode(av.VideoFrame.from_image(picture)):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from None


def _pictures(frames_F, video, size):
    """The video's picture at each of these frames, in this size; None where there is none."""
    left = len(frames_F)
    # Cut off or damaged: what came so far is used.
    for number, frame in enumerate(decoded(video) if video is not None else ()):
        if left and number >= frames_F[0]:
            yield _picture(frame, size)
            left -= 1
        if not left:
            return
    for _ in range(left):
        yield None


def _picture(frame, size):
    turns = quarter_turns(frame)
    shape = size[::-1] if turns % 2 else size
    picture = frame.reformat(width=shape[0], height=shape[1], format="rgb24").to_image()
    return picture.rotate(90 * turns, expand=True) if turns else picture


# --- the left side --------------------------------------------------------------------------------


def _left_panel(scene, video):
    """Its width, and a function that draws frame f of it onto a canvas."""
    seen = scene.keypoints_FxMxJx3[scene.keypoints_FxMxJx3[..., 2] > 0][:, :2]
    if video is not None:
        low_2, size_2 = np.zeros(2), np.array(video.size, float)
    else:
        extent = max(float(np.ptp(seen, axis=0).max()), 1.0)
        low_2 = seen.min(0) - 0.08 * extent
        size_2 = np.ptp(seen, axis=0) + 0.16 * extent
    scale = _HEIGHT / size_2[1]
    # H.264 takes even numbers; a very wide or narrow picture is fitted in by its width.
    width = int(np.clip(round(size_2[0] * scale / 2) * 2, _HEIGHT // 2, 2 * _HEIGHT))
    if video is None:
        scale = min(scale, width / size_2[0])
    scale_2 = np.array([width / size_2[0], _HEIGHT / size_2[1]]) if video else np.full(2, scale)

    def draw_left(canvas, picture, f):
        if picture is not None:
            canvas.paste(picture, (0, 0))
        else:
            canvas.paste(_DARK, (0, 0, width, _HEIGHT))
        pen = ImageDraw.Draw(canvas)
        for m, person in enumerate(scene.persons):
            at_Jx3 = scene.keypoints_FxMxJx3[f, m]
            xy_Jx2 = (at_Jx3[:, :2] - low_2) * scale_2
            # Past the edge, a line would run into the other half.
            inside_J = (xy_Jx2[:, 0] >= 0) & (xy_Jx2[:, 0] < width - 2)
            there_J = (at_Jx3[:, 2] > 0) & inside_J
            _draw_limbs(pen, xy_Jx2, there_J, _TRUNK_ON_VIDEO)
            if len(scene.persons) > 1 and there_J[JOINTS.index("head")]:
                x, y = xy_Jx2[JOINTS.index("head")]
                pen.text((x, y - 16), str(person), fill=_TRUNK_ON_VIDEO, anchor="ms")

    return width, draw_left


def _draw_limbs(pen, xy_Jx2, there_J, trunk, thick=4, order=None):
    points = [tuple(xy) for xy in np.nan_to_num(xy_Jx2).tolist()]
    for limb in range(len(LIMBS)) if order is None else order:
        parent, joint = LIMBS[limb]
        if there_J[parent] and there_J[joint]:
            colour = {"l": _LEFT, "r": _RIGHT}.get(JOINTS[joint][0], trunk)
            pen.line([points[parent], points[joint]], fill=colour, width=thick)
            x, y = points[joint]
            pen.ellipse([x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2], fill=colour)


# --- the right side -------------------------------------------------------------------------------


class _Right:
    """The 3D motion in a square. Everything that does not move is drawn once."""

    def __init__(self, scene):
        self._centre_3, self._radius = scene.bounds()
        self._at_FxMxJx3 = self._project(scene.pose_FxMxJx3)
        self._guessed_FxM = scene.guessed_FxM
        self._floor = scene.floor
        self._empty = None

    def _project(self, points):
        """(..., 3): across and down in pixels of the square, and how near."""
        x, y, z = np.moveaxis((points - self._centre_3) / self._radius, -1, 0)
        y, z = -y, -z
        across = np.cos(_YAW) * x + np.sin(_YAW) * z
        towards = np.cos(_YAW) * z - np.sin(_YAW) * x
        up = np.cos(_PITCH) * y - np.sin(_PITCH) * towards
        near = np.sin(_PITCH) * y + np.cos(_PITCH) * towards
        scale = 0.46 * _HEIGHT * 4 / (4 - near)
        return np.stack([_HEIGHT / 2 + across * scale, _HEIGHT / 2 - up * scale, near], axis=-1)

    def canvas(self, width):
        """A picture with an empty left side, this wide, and the floor on the right."""
        if self._empty is None:
            self._empty = Image.new("RGB", (width + _HEIGHT, _HEIGHT), _PAPER)
            pen = ImageDraw.Draw(self._empty)
            for i in np.linspace(-1, 1, 9):
                for ends in (((i, -1), (i, 1)), ((-1, i), (1, i))):
                    points = np.array([(x, 0, z) for x, z in ends]) * self._radius + self._centre_3
                    points[:, 1] = self._floor
                    at = self._project(points)[:, :2] + [width, 0]
                    pen.line([tuple(p) for p in at.tolist()], fill=_GRID)
        return self._empty.copy()

    def draw(self, canvas, width, f):
        pen = ImageDraw.Draw(canvas)
        nearness_M = self._at_FxMxJx3[f, :, 0, 2]
        for m in np.argsort(np.nan_to_num(nearness_M, nan=-np.inf)):
            at_Jx3 = self._at_FxMxJx3[f, m]
            if np.isnan(at_Jx3[0, 0]):
                continue
            ends = np.array(LIMBS)
            order = np.argsort(at_Jx3[ends, 2].mean(1))  # the nearest last
            there_J = np.ones(len(at_Jx3), bool)
            # A person who was missed and is interpolated is thin.
            thick = 2 if self._guessed_FxM[f, m] else 5
            _draw_limbs(pen, at_Jx3[:, :2] + [width, 0], there_J, _TRUNK, thick, order)
