"""How errors of 3D pose are summed up: per frame, per action, mean over actions.

The protocol of the release's Human3.6M evaluation: poses relative to the root in mm; a frame that
lies in several clips counts with the mean of its errors; the mean over an action's frames, then
over actions. P1 is MPJPE, P2 is P-MPJPE. All numpy, float64; scores are kept per recording, so
that memory does not grow with the test set.

Shapes in names: T frames of a clip, N frames of a recording, J joints, Q quantities.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mbjax.pose import metrics
from mbjax.pose.skeleton import root_relative

# Recordings of Human3.6M whose truth is off; names are without the camera, '_ca_01'.
LEFT_OUT = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")

# Names of actions as the files have them, and as tables print them, in their order.
ACTIONS = {
    "Directions": "Dire.", "Discussion": "Disc.", "Eating": "Eat", "Greeting": "Greet",
    "Phoning": "Phone", "Photo": "Photo", "Posing": "Pose", "Purchases": "Purch.",
    "Sitting": "Sit", "SittingDown": "SitD", "Smoking": "Smoke", "Waiting": "Wait",
    "WalkDog": "WalkD", "Walking": "Walk", "WalkTogether": "WalkT",
}  # fmt: skip

# What is measured of every frame, by the name in results; velocity is of two frames.
OF_A_FRAME = ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "pck_150mm", "auc_150mm")
QUANTITIES = (*OF_A_FRAME, "mpjve_mm")
LABELS = {
    "mpjpe_mm": "P1  MPJPE", "p_mpjpe_mm": "P2  P-MPJPE", "n_mpjpe_mm": "N-MPJPE",
    "mpjve_mm": "MPJVE, mm per frame", "pck_150mm": "PCK 150 mm, %", "auc_150mm": "AUC, %",
}  # fmt: skip
_PERCENT = ("pck_150mm", "auc_150mm")


def is_left_out(source: str) -> bool:
    """Whether the protocol leaves a recording of Human3.6M out."""
    return source[: -len("_ca_01")] in LEFT_OUT


def frame_scores(
    pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray, pck_joints: Sequence[int] = ()
) -> np.ndarray:
    """(T, Q) of OF_A_FRAME; pose and target in mm, relative to the root."""
    pair = (pose_TxJx3, target_TxJx3)
    return np.stack(
        [metrics.mpjpe(*pair), metrics.p_mpjpe(*pair), metrics.n_mpjpe(*pair),
         *metrics.pck_auc(*pair, pck_joints)],
        axis=-1,
    )  # fmt: skip


class Recording:
    """One recording's clips; `scores` when all of them are there.

    pck_joints: those that PCK and AUC count; () for all.
    """

    def __init__(self, source: str, action: str, pck_joints: Sequence[int] = ()):
        self.source, self.action, self._pck_joints = source, action, pck_joints
        self._clips: list = []

    def add(self, rows_T: np.ndarray, pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> None:
        """rows: which frames these are; pose and target in mm, any root."""
        pose = root_relative(np.asarray(pose_TxJx3, np.float64))
        target = root_relative(np.asarray(target_TxJx3, np.float64))
        self._clips.append(
            (np.asarray(rows_T), frame_scores(pose, target, self._pck_joints), pose, target)
        )

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """(frames (N,) ascending, QUANTITIES (N, Q)); velocity is NaN where no frame comes before.

        Velocity is that of the poses, each the mean over the clips it lies in; so a jump from one
        clip to the next counts.
        """
        rows_N = np.unique(np.concatenate([clip[0] for clip in self._clips]))
        total = [np.zeros((len(rows_N), *value.shape[1:])) for value in self._clips[0][1:]]
        count_N = np.zeros(len(rows_N))
        for rows_T, *values in self._clips:
            place = np.searchsorted(rows_N, rows_T)
            # A clip that repeats a frame counts it once, with what it says last: numpy adds so.
            for sums, value in zip(total, values, strict=True):
                sums[place] += value
            count_N[place] += 1
        scores, pose, target = (
            sums / count_N.reshape(-1, *[1] * (sums.ndim - 1)) for sums in total
        )
        velocity = np.full(len(rows_N), np.nan)
        if len(rows_N) > 1:
            follows = np.diff(rows_N) == 1
            velocity[1:][follows] = metrics.mpjve(pose, target)[follows]
        return rows_N, np.concatenate([scores, velocity[:, None]], axis=-1)


@dataclasses.dataclass
class Scores:
    """Sums over frames, action by action."""

    sums: dict = dataclasses.field(default_factory=dict)
    counts: dict = dataclasses.field(default_factory=dict)
    frames: int = 0

    def add(self, action: str, scores_NxQ: np.ndarray) -> None:
        known = np.isfinite(scores_NxQ)
        zero = np.zeros(len(QUANTITIES))
        self.sums[action] = self.sums.get(action, zero) + np.where(known, scores_NxQ, 0).sum(0)
        self.counts[action] = self.counts.get(action, zero) + known.sum(0)
        self.frames += len(scores_NxQ)

    def actions(self) -> list[str]:
        """In the order of the paper's table, others by name after them."""
        known = [action for action in ACTIONS if action in self.sums]
        return known + sorted(set(self.sums) - set(ACTIONS))

    def of_action(self, action: str) -> dict[str, float]:
        """Means over the action's frames."""
        return self._means(self.sums[action], self.counts[action])

    @staticmethod
    def _means(sums, counts) -> dict[str, float]:
        with np.errstate(invalid="ignore"):  # no velocity in a single frame: NaN
            return dict(zip(QUANTITIES, (sums / counts).tolist(), strict=True))

    def means(self) -> dict[str, float]:
        """Means over actions of the means over their frames."""
        every = [self.of_action(action) for action in self.sums]
        return {name: float(np.mean([one[name] for one in every])) for name in QUANTITIES}

    def over_frames(self) -> dict[str, float]:
        """Means over all frames, whatever their action."""
        return self._means(sum(self.sums.values()), sum(self.counts.values()))

    def rows(self) -> list[list[str]]:
        """The table: a head of actions, Avg over them, All frames; a row for each quantity."""
        columns = [self.of_action(action) for action in self.actions()]
        columns += [self.means(), self.over_frames()]
        head = ["", *(ACTIONS.get(one, one) for one in self.actions()), "Avg", "All frames"]
        body = [
            [LABELS[name], *(f"{one[name] * (100 if name in _PERCENT else 1):.1f}"
                             for one in columns)]
            for name in LABELS
        ]  # fmt: skip
        return [head, *body]
