"""More epochs for a run, in its own work folder."""

import json
import os

import jax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from mbjax.atomic_files import written_beside
from mbjax.configuration import RUN_FILE
from mbjax.safe_files import json_files
from mbjax.storage import objects
from mbjax.storage.places import place


def extend(workdir: str | os.PathLike, config: ConfigDict) -> None:
    """Lets the run in a work folder go on to config.epochs: the folder's config takes that number.

    What follows are the steps that a run of that many epochs would take from here, in its order of
    records and with its schedule: a rate that falls over the whole run (cosine, ramp, shares in
    percent) is that of the longer one, so earlier steps were taken at another. Other differences
    between the configs are left for the start of the run to report. ValueError where there is no
    run, or it has as many epochs.
    """
    file = place(workdir) / RUN_FILE
    if not objects.exists(file):
        raise ValueError(f"there is no run in {workdir} to extend")
    settings = json_files.read_object(file)
    if settings["epochs"] >= config.epochs:
        raise ValueError(
            f"the run in {workdir} has {settings['epochs']} epochs; to extend it, give more: "
            f"--config.epochs={settings['epochs'] + 1}"
        )
    if jax.process_index() == 0:
        with written_beside(file) as beside:
            beside.write_text(json.dumps({**settings, "epochs": config.epochs}, indent=1))
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("run extended")
