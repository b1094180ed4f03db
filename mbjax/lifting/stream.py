"""`mbjax.Stream`: 3D poses of one person while the frames come in.

Shapes in names: L frames of the window, K keypoints of the layout, J joints (17).
"""

import functools

import jax
import numpy as np
from flax import nnx

from mbjax.keypoints import layouts, outliers, tracking
from mbjax.lifting.predict import check_model, root_stays_aside
from mbjax.lifting.stream_build import Build
from mbjax.lifting.windows import there_and_back
from mbjax.models.flip import averaged
from mbjax.models.trained_on import TrainedOn, fill_of, trained_on, trunk_per_leg_of
from mbjax.motion.filters import OneEuro
from mbjax.pose import proportions
from mbjax.pose.normalise import square
from mbjax.pose.skeleton import ROOT

_WINDOW = 27  # where the checkpoint does not say
# Of smooth_fps: Hz at rest, and Hz more for each height of the person per second. On the sample's
# held-out recording with 2 pixels (5 mm) of 2D noise, without look-ahead, they bring tremble (10.4
# mm/frame^2) to that of the truth (5.1) for 3 mm of error (49.6 to 52.5), most of it delay.
STEADY = (2.0, 10.0)


class Stream:
    """Takes one person's 2D keypoints a frame at a time, gives a pose `lookahead` frames later.

        stream = mbjax.Stream(model, window=27, lookahead=4)
        for keypoints in camera:                # (17, 3) pixels and confidence, or None
            pose = stream.push(keypoints)       # (17, 3), or None: not yet, or nobody seen
        rest = stream.flush()                   # the last `lookahead` poses

    model: what mbjax.load gives. window: frames that the network sees, the newest ones; fixed, so
    that one compilation does; by default what the checkpoint was trained on, where it records that
    (`model.trained_on`, which also has the frame rate to push at), else 27. Before so many have
    come, they are played there and back, as mbjax.lift does with somebody seen for fewer frames
    than the rest. lookahead: frames that must come after one before its pose is given, 0 to
    window - 1; more is more accurate and later.
    hop: the network runs at every hop-th frame and its window gives hop poses, which divides the
    work by hop; at most lookahead + 1. flip: mean with the mirror image, at twice the work.
    layout: of the keypoints, a name in mbjax.keypoints.layouts.LAYOUTS. root_relative: whether the
    model was trained so; found out by default, as mbjax.lift does.

    smooth_fps: the rate of the frames, to have poses steadied by a One-Euro filter
    (mbjax.motion.filters), which delays slow motion by some frames and fast motion hardly; None
    leaves them as they are.

    keep_proportions: whether people are lifted as they are whose trunk beside their legs is over a
    tenth longer or shorter than that of the people the model learnt from, where the checkpoint
    records them. Otherwise this is measured in the first seconds, and poses go over little by
    little to what mbjax.lift gives such people (mbjax/lifting/stream_build.py).

    Where windows change from one to the next with hop > 1, poses fade from the older one's to the
    newer one's, as far as the older one has them: from a lookahead of 2 hop - 2 on, everywhere.

    Poses are in the keypoints' unit (pixels): x right, y down, z away, the root at the origin; of a
    model whose root moves, x and y where the image has them, depth counted from the first pose.
    The network is trained on people who fill [-1, 1]. Each window is brought there by the square
    round all its visible joints, as mbjax.lift does with a clip, and its poses are brought back by
    the same: the square may change from frame to frame, the poses' scale does not. Keypoints not
    seen (confidence 0) are interpolated in the window, or held at its end; so are those that cannot
    be the person's, as in mbjax.lift: `stream.outliers` lists the newest window's.

    >>> import mbjax, numpy
    >>> stream = mbjax.Stream(mbjax.load("tiny", verbose=False), lookahead=1)
    >>> keypoints = numpy.random.default_rng(0).uniform(100, 400, (17, 2))
    >>> stream.push(keypoints) is None, stream.push(keypoints).shape, len(stream.flush())
    (True, (17, 3), 1)
    """

    def __init__(
        self,
        model: nnx.Module,
        window: int | None = None,
        lookahead: int = 0,
        *,
        hop: int = 1,
        flip: bool = False,
        layout: str = "h36m17",
        root_relative: bool | None = None,
        smooth_fps: float | None = None,
        keep_proportions: bool = False,
    ):
        check_model(model, "a Stream")
        if window is None:
            window = window_of(trained_on(model), model.config.maxlen)
        if not 1 <= window <= model.config.maxlen:
            raise ValueError(f"window is {window}; this model takes 1 to {model.config.maxlen}")
        if not 0 <= lookahead < window:
            raise ValueError(f"lookahead is {lookahead}; it is 0 to window - 1, {window - 1}")
        if not 1 <= hop <= lookahead + 1:
            raise ValueError(f"hop is {hop}; it is 1 to lookahead + 1, {lookahead + 1}")
        self.window, self.lookahead, self.hop = window, lookahead, hop
        trained = trained_on(model)
        self._fill = fill_of(trained)
        self._build = Build(0.0 if keep_proportions else trunk_per_leg_of(trained))
        self.layout = layouts.named(layout)
        self._K = layouts.LAYOUTS[self.layout].count
        self._flip = flip
        self._filter = None if smooth_fps is None else OneEuro(smooth_fps, *STEADY)
        graphdef, self._state = nnx.split(model)
        self._forward = functools.partial(_forward, graphdef)
        # Compiles, too.
        found = root_stays_aside(lambda x: self._forward(self._state, x, flip), window)
        self._root_relative = found if root_relative is None else root_relative
        self.reset()

    def reset(self) -> None:
        """Forgets all frames, as for another person; what was compiled stays."""
        self._buffer_LxKx3 = np.zeros((self.window, self._K, 3))
        self._pushed = 0  # frames so far
        self.outliers = []  # keypoints of the newest window that are taken as not seen
        self._first = None  # the first in which somebody was seen
        self._poses = {}  # frame: pose, those that push may give
        self._newest = {}  # frame: pose, all that the newest window says from then on
        self._depth = {}  # frame: depth of the root as given, of a root that moves
        self._size = None  # of the person in pixels, in the first window
        self._build.reset()
        if self._filter:
            self._filter.reset()

    def push(self, keypoints: np.ndarray | None) -> np.ndarray | None:
        """The next frame in: the pose (17, 3) float32 of the frame `lookahead` before it, or None.

        keypoints: (K, 2 or 3) of the layout, x, y in pixels and confidence; None where the person
        was not found. Returns None where that frame does not exist yet, or nobody was seen until
        it. ValueError for another shape, NaN, or a negative confidence.
        """
        points_Kx3 = self._checked(keypoints)
        frame, self._pushed = self._pushed, self._pushed + 1
        # Oldest first, at the window's end; a roll of a few KB is nothing beside the network.
        self._buffer_LxKx3 = np.roll(self._buffer_LxKx3, -1, axis=0)
        self._buffer_LxKx3[-1] = points_Kx3
        if self._first is None:
            if not (points_Kx3[:, 2] > 0).any():
                return None
            self._first = frame
        wanted = frame - self.lookahead
        if wanted < self._first:
            return None
        if wanted not in self._poses:
            self._run(frame, keep=self.hop)
        return self._steadied(self._poses.get(wanted))

    def flush(self) -> list[np.ndarray | None]:
        """The poses of the frames that have come and had no pose yet; then forgets all frames."""
        newest = self._pushed - 1
        first = self._pushed if self._first is None else self._first
        frames = range(max(newest - self.lookahead + 1, first), self._pushed)
        if frames:
            self._run(newest, keep=self.lookahead + 1)
        poses = [self._steadied(self._poses.get(frame)) for frame in frames]
        self.reset()
        return poses

    def _steadied(self, pose_Jx3):
        if self._filter is None or pose_Jx3 is None:
            return pose_Jx3
        # The filter's speeds are in heights of a person, whatever the picture's size.
        return (self._size * self._filter(pose_Jx3 / self._size)).astype(np.float32)

    def _checked(self, keypoints):
        K = self._K
        if keypoints is None:
            return np.zeros((K, 3))
        points = np.asarray(keypoints, np.float64)
        if points.shape not in ((K, 2), (K, 3)):
            raise ValueError(f"layout {self.layout} takes ({K}, 2 or 3), got {points.shape}")
        if points.shape[1] == 2:
            points = np.concatenate([points, np.ones((K, 1))], axis=1)
        if not np.isfinite(points).all() or points[:, 2].min() < 0:
            raise ValueError(
                "not finite, or a negative confidence; mark what was not seen by confidence 0"
            )
        points[:, 2] = np.minimum(points[:, 2], 1)
        return points

    def _run(self, newest, keep):
        """The network on the newest window: poses of `keep` frames from `lookahead` before on."""
        older, self._poses, self._newest = self._newest, {}, {}
        count = min(self.window, newest - self._first + 1)
        own_NxKx3 = self._buffer_LxKx3[-count:]
        self.outliers = outliers.find(own_NxKx3, layouts.LAYOUTS[self.layout].names)
        own_NxKx3 = outliers.without(own_NxKx3, self.outliers)
        _, points_NxKx3, _ = tracking.fill(np.arange(count), own_NxKx3)
        points_NxJx3 = layouts.from_layout(points_NxKx3, self.layout)
        points_NxJx3 = layouts.with_head(points_NxJx3, points_NxKx3, self.layout)
        points_NxJx3 = layouts.known(points_NxJx3)
        by = self._build.factor(newest)
        lifted = self._lifted(points_NxJx3, by)
        if lifted is None:
            return
        pose_NxJx3, centre_2 = lifted
        if count == self.window and self._build.wants(newest):
            place = count - 1 - self.lookahead

            def plain():
                return (pose_NxJx3 if by == 1 else self._lifted(points_NxJx3, 1.0)[0])[place]

            self._build.measure(newest, plain, points_NxJx3[place])
        frames = range(newest - count + 1, newest + 1)
        if not self._root_relative:
            pose_NxJx3[..., :2] += centre_2
            pose_NxJx3[..., 2] += self._depth_offset(frames, pose_NxJx3[:, ROOT, 2], keep)
        else:
            pose_NxJx3 = pose_NxJx3 - pose_NxJx3[:, ROOT : ROOT + 1]
        for frame, pose_Jx3 in zip(frames, pose_NxJx3, strict=True):
            place = frame - (newest - self.lookahead)
            if place < 0:
                continue
            self._newest[frame] = pose_Jx3
            if place < keep:
                share = min(1, (place + 1) / self.hop) if frame in older else 1
                faded = share * pose_Jx3 + (1 - share) * older.get(frame, 0)
                self._poses[frame] = faded.astype(np.float32)

    def _lifted(self, points_NxJx3, by):
        """Poses in the keypoints' unit as the network gives them, and the middle of the square that
        it was shown; None where the person has no extent. by: of trunk and head."""
        if by != 1:
            points_NxJx3 = proportions.scale_trunk_seen(points_NxJx3, 1 / by)
        centre_2, side = square(points_NxJx3)
        if side <= 0:
            return None
        scale = 2 * self._fill / side
        self._size = self._size or side
        x_NxJx3 = points_NxJx3.copy()
        x_NxJx3[..., :2] = (x_NxJx3[..., :2] - centre_2) * scale
        x_NxJx3 = np.where(np.isnan(x_NxJx3).any(-1, keepdims=True), 0, x_NxJx3)
        count = len(x_NxJx3)
        x_LxJx3 = x_NxJx3[there_and_back(count, self.window)].astype(np.float32)
        pose_LxJx3 = np.asarray(self._forward(self._state, x_LxJx3[None], self._flip)[0], float)
        pose_NxJx3 = pose_LxJx3[:count] / scale
        return (pose_NxJx3 if by == 1 else proportions.scale_trunk(pose_NxJx3, by)), centre_2

    def _depth_offset(self, frames, depth_N, keep):
        """What brings a window's root depths to those already given where they overlap."""
        known = [i for i, frame in enumerate(frames) if frame in self._depth]
        given = [i for i in range(len(frames)) if 0 <= i - len(frames) + 1 + self.lookahead < keep]
        if known:
            before = np.array([self._depth[frames[i]] for i in known])
            offset = (before - depth_N[known]).mean()
        else:
            offset = -depth_N[given[0]]
        # What has left the window is of no more use.
        self._depth = {f: d for f, d in self._depth.items() if f >= frames[0]}
        self._depth |= {frames[i]: depth_N[i] + offset for i in given}
        return offset


def window_of(trained: TrainedOn | None, maxlen: int) -> int:
    """Frames that a network is shown where nothing else is asked for."""
    return min(trained.frames if trained else _WINDOW, maxlen)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _forward(graphdef, state, x_1xLxJx3, flip):
    model = nnx.merge(graphdef, state)
    if not flip:
        return model(x_1xLxJx3)
    return averaged(model, x_1xLxJx3, one_batch=True)
