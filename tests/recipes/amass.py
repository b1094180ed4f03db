"""A raw AMASS folder and its body models, small, random, in the published layout."""

import numpy as np

from tests.recipes import body as body_recipes

# Bones of SMPL+H next to the 17 joints of Human3.6M.
BONES = (0, 2, 5, 8, 1, 4, 7, 3, 12, 15, 15, 16, 18, 20, 17, 19, 21)


def write_bodies(folder, genders=("male", "female"), soft=("male", "female"), num_vertices=208):
    """smplh/, dmpls/ and the regressor; each gender another body. Returns the arrays by gender."""
    bodies, regressor = {}, None
    for seed, gender in enumerate(genders):
        arrays = body_recipes.random_body(
            seed, body_recipes.SMPLH_PARENTS, num_vertices, num_betas=16
        )
        if regressor is None:
            regressor = body_recipes.random_regressor(9, arrays, BONES)
        (folder / "smplh" / gender).mkdir(parents=True, exist_ok=True)
        np.savez(folder / "smplh" / gender / "model.npz", **arrays)
        directions = None
        if gender in soft:
            # The files have hundreds of directions, of which AMASS uses 8.
            directions = np.random.default_rng(seed).normal(size=(num_vertices, 3, 11)) * 0.005
            (folder / "dmpls" / gender).mkdir(parents=True, exist_ok=True)
            np.savez(folder / "dmpls" / gender / "model.npz", eigvec=directions)
        bodies[gender] = arrays, directions
    np.save(folder / "J_regressor_h36m_correct.npy", regressor)
    return bodies, regressor


def motion(frames, fps, seed=0):
    """Members of one file: smooth rotations and translation, by formulas of time in seconds."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / fps

    def waves(size, amplitude):
        phase, rate = rng.uniform(0, 6, size), rng.uniform(0.5, 4, size)
        return amplitude * np.sin(phase + rate * time)

    return {
        "poses": waves(156, 0.4),
        "trans": waves(3, 1.0),
        "betas": rng.normal(size=16),
        "dmpls": waves(8, 1.0),
        "gender": np.array("male"),
        "mocap_framerate": np.array(float(fps)),
    }


def write(raw, name, without=(), **members):
    """raw/name_poses.npz; name is dataset/subject/recording."""
    path = raw / f"{name}_poses.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{k: v for k, v in members.items() if k not in without})
    return path
