#!/usr/bin/env bash
# One training run on a Cloud TPU slice: creates or reuses the slice, installs this checkout on all
# its workers, starts the run, follows its log, and starts again after a preemption.
#
#   export PROJECT=my-project ZONE=us-west4-a TPU_NAME=mbjax ACCELERATOR_TYPE=v5litepod-256 \
#          RUNTIME_VERSION=v2-alpha-tpuv5-lite SHARED=10.0.0.2:/share DATA=gs://my-bucket/mbjax
#   launch/tpu_pod.sh [--dry-run] -- pretrain --config configs/pretrain.py:mb \
#          --workdir /shared/runs/mb --config.sources.amass.dir=/data/amass
#
# Optional: SPOT=1 (preemptible), STARTS=100 (at most so many starts). launch/README.md has more.
set -euo pipefail

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }

dry=
if [[ ${1-} == --dry-run ]]; then dry=1; shift; fi
if [[ ${1-} != -- || $# -lt 2 ]]; then usage; exit 2; fi
shift
for name in PROJECT ZONE TPU_NAME ACCELERATOR_TYPE RUNTIME_VERSION SHARED DATA; do
  if [[ -z ${!name-} ]]; then echo "tpu_pod.sh: set $name" >&2; usage >&2; exit 2; fi
done

say() { echo "tpu_pod.sh: $*" >&2; }
run() { if [[ $dry ]]; then printf '%q ' "$@"; echo; else "$@"; fi; }
tpu() { run gcloud compute tpus "$@" --project="$PROJECT" --zone="$ZONE"; }
on() { tpu tpu-vm ssh "$TPU_NAME" --worker="$1" --command="$2"; }
state() {
  gcloud compute tpus queued-resources describe "$TPU_NAME" --project="$PROJECT" \
    --zone="$ZONE" --format='value(state.state)' 2>/dev/null || echo NONE
}

have_slice() {
  if [[ $dry ]]; then
    create
    return
  fi
  while :; do
    case $(state) in
      ACTIVE) return ;;
      NONE) create ;;
      FAILED | SUSPENDED | SUSPENDING) tpu queued-resources delete "$TPU_NAME" --force --quiet ;;
      *) sleep 30 ;;
    esac
  done
}

create() {
  say "asking for $ACCELERATOR_TYPE"
  tpu queued-resources create "$TPU_NAME" --node-id="$TPU_NAME" \
    --accelerator-type="$ACCELERATOR_TYPE" --runtime-version="$RUNTIME_VERSION" \
    ${SPOT:+--spot}
}

root=$(cd "$(dirname "$0")/.." && pwd)
archive=$(mktemp --suffix=.tar.gz)
trap 'rm -f "$archive"' EXIT
git -C "$root" archive --format=tar.gz --output="$archive" HEAD

# Runs as a service of each worker: it outlives this connection, and a worker that is shut down
# tells it with SIGTERM, on which the run saves.
printf -v arguments '%q ' "$@"
for ((start = 1; start <= ${STARTS:-100}; start++)); do
  have_slice
  if [[ $dry ]] || ! on 0 'systemctl is-active --quiet mbjax'; then
    say "start $start: installing and starting on all workers"
    tpu tpu-vm scp "$archive" "$TPU_NAME:mbjax.tar.gz" --worker=all || continue
    on all "mkdir -p mbjax && tar -xzf mbjax.tar.gz -C mbjax && bash mbjax/launch/tpu_worker.sh \
$(printf '%q ' "$SHARED" "$DATA")$arguments" || continue
  fi
  # The log of process 0, until the service ends.
  # shellcheck disable=SC2016  # expanded there
  on 0 'journalctl --follow --lines=20 --output=cat --unit=mbjax & log=$!
    while systemctl is-active --quiet mbjax; do sleep 5; done; sleep 2; kill $log' || true
  [[ $dry ]] && exit 0
  status=$(on 0 'systemctl show mbjax --property=ExecMainStatus --value') || status=unreachable
  case $status in
    0) say "finished"; exit 0 ;;
    1 | 2) say "failed with status $status; it would fail again"; exit "$status" ;;
    *) say "stopped ($status); starting again" ;;
  esac
  on all 'sudo systemctl stop mbjax; sudo systemctl reset-failed mbjax || true' || true
done
say "gave up after ${STARTS:-100} starts"
exit 75
