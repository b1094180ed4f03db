"""What `mbjax infer` draws of a motion: a page to turn it in, and a picture that moves or does not.

Shapes in names: T frames, J joints.
"""

import pathlib
import tempfile

import numpy as np

from mbjax.motion.files import DEFAULT_FPS
from mbjax.motion.motion import Motion
from mbjax.pictures import scene, web_page
from mbjax.pose.skeleton import root_relative


def page(motion: Motion, folder: pathlib.Path, video=None, with_video=False) -> pathlib.Path:
    """motion.html, of all persons; with a video, of all its frames, and if asked with its pictures.

    ImportError where these are asked for and PyAV is not there.
    """
    path = folder / "motion.html"
    title = pathlib.PurePath(motion.source).name
    whole = scene.of_motion(motion, video.frames if video else None)
    fps = motion.fps or DEFAULT_FPS
    film = _film(whole, fps, video) if video and with_video else None
    web_page.write(whole, path, fps, title, film)
    return path


def _film(whole, fps, video):
    from mbjax.pictures import video as movies

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "film.mp4"
        movies.small(whole, path, fps, video)
        return web_page.Film(path.read_bytes(), video.size)


def draw(motion: Motion, folder: pathlib.Path, kind: str, video) -> tuple[pathlib.Path, int]:
    """motion.mp4 of all persons, or .gif or .png of the one seen longest.

    video: a mbjax.pictures.video.Video or None, all of which the MP4 shows. Returns the path, and
    how many frames had no video where one is given. ImportError where the kind is mp4 and PyAV is
    not there.
    """
    if kind == "mp4":
        from mbjax.pictures import video as movies

        path = folder / "motion.mp4"
        fps = motion.fps or DEFAULT_FPS
        whole = scene.of_motion(motion, video.frames if video else None)
        return path, movies.side_by_side(whole, path, fps, video)
    from mbjax.pictures import skeletons as pictures

    one = max(motion, key=lambda one: len(one.frames_T))
    xy = (one.keypoints_TxJx3[..., :2] - one.centre_2) * one.units_per_pixel
    seen_TxJx3 = np.concatenate([xy, one.confidence_TxJ[..., None]], axis=-1)
    pose_TxJx3 = root_relative(one.pose_TxJx3)
    caption = f"person {one.person}, frames {one.frames_T[0]} to {one.frames_T[-1]}"
    if kind == "png" or len(pose_TxJx3) == 1:
        pictures.poses(seen_TxJx3, pose_TxJx3, None, folder / "motion.png", title=caption)
        return folder / "motion.png", 0
    # A GIF of a minute is large and slow to make: 15 pictures a second, 150 in all.
    fps = motion.fps or DEFAULT_FPS
    step = max(1, round(fps / 15), -(-len(pose_TxJx3) // 150))
    every = slice(None, None, step)
    pictures.animate(
        seen_TxJx3[every], pose_TxJx3[every], None, folder / "motion.gif", fps / step, caption
    )
    return folder / "motion.gif", 0
