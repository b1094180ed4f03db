#!/usr/bin/env bash
# Starts launch/gke_jobset.yaml on the cluster that kubectl points to.
#
#   export RUN_NAME=mb IMAGE=REGISTRY/mbjax:TAG ACCELERATOR=tpu-v5-lite-podslice TOPOLOGY=4x4 \
#          HOSTS=4 CHIPS_PER_HOST=4 CLAIM=shared
#   launch/gke.sh [--dry-run] -- pretrain --config configs/pretrain.py:mb \
#          --workdir /shared/runs/mb --config.sources.amass.dir=/shared/data/amass
set -euo pipefail

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }

dry=
if [[ ${1-} == --dry-run ]]; then dry=1; shift; fi
if [[ ${1-} != -- || $# -lt 2 ]]; then usage; exit 2; fi
shift
names=(RUN_NAME IMAGE ACCELERATOR TOPOLOGY HOSTS CHIPS_PER_HOST CLAIM)
for name in "${names[@]}"; do
  if [[ -z ${!name-} ]]; then echo "gke.sh: set $name" >&2; usage >&2; exit 2; fi
done

# A YAML list is a JSON list.
# shellcheck disable=SC2034  # read by its name below
ARGUMENTS=$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@")
filled=$(<"$(dirname "$0")/gke_jobset.yaml")
for name in "${names[@]}" ARGUMENTS; do
  filled=${filled//"\${$name}"/${!name}}
done
if [[ $dry ]]; then
  echo "$filled"
  exit 0
fi
kubectl apply --filename=- <<<"$filled"
kubectl wait --for=create --timeout=10m "pod" \
  --selector="jobset.sigs.k8s.io/jobset-name=$RUN_NAME,batch.kubernetes.io/job-completion-index=0"
exec kubectl logs --follow --pod-running-timeout=60m \
  --selector="jobset.sigs.k8s.io/jobset-name=$RUN_NAME,batch.kubernetes.io/job-completion-index=0"
