#!/usr/bin/env bash
# On each worker of a TPU slice, started by tpu_pod.sh in the home folder:
#   tpu_worker.sh HOST:/SHARE gs://BUCKET/DATA COMMAND...
# Installs mbjax, mounts the shared storage at /shared, copies the data to /data, starts the run.
set -euo pipefail
shared=$1 data=$2
shift 2

cd "$HOME/mbjax"
python3 -m pip install --quiet --user uv==0.9.7
"$HOME/.local/bin/uv" venv --quiet --allow-existing --python 3.12 "$HOME/env"
"$HOME/.local/bin/uv" pip install --quiet --python "$HOME/env" -c launch/constraints.txt -e '.[tpu]'

sudo mkdir -p /shared /data
sudo chown "$USER" /data
if ! mountpoint --quiet /shared; then
  command -v mount.nfs >/dev/null || sudo apt-get install --yes --quiet nfs-common
  sudo mount -t nfs -o nfsvers=3,hard "$shared" /shared
fi
gcloud storage rsync --recursive "$data" /data

# A run that an earlier start left behind, on this worker alone.
sudo systemctl stop mbjax 2>/dev/null || true
sudo systemctl reset-failed mbjax 2>/dev/null || true
sudo systemd-run --quiet --unit=mbjax --uid="$USER" --working-directory="$HOME/mbjax" \
  --setenv=HOME="$HOME" --setenv=GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  --setenv=MBJAX_COMPILATION_CACHE=/shared/mbjax-compiled \
  --property=KillSignal=SIGTERM --property=TimeoutStopSec=120 --property=RemainAfterExit=no \
  "$HOME/env/bin/python" -P -m mbjax "$@"
