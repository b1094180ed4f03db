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
  export "${name?}"
done

# One pass over the template, so that no value is taken for a part of it; a JSON text is a YAML text.
fill='
import json, os, re, sys
numbers = ("HOSTS", "CHIPS_PER_HOST")
def text(name):
    value = sys.argv[2:] if name == "ARGUMENTS" else os.environ[name]
    if name in numbers and not re.fullmatch("[1-9][0-9]{0,5}", value):
        sys.exit(f"gke.sh: {name} is {value!r}; it must be a whole number")
    if name == "RUN_NAME" and not re.fullmatch("[a-z]([-a-z0-9]{0,38}[a-z0-9])?", value):
        sys.exit(f"gke.sh: RUN_NAME is {value!r}; give at most 40 of a-z, 0-9 and -, a letter first")
    quoted = value if name in numbers else json.dumps(value, ensure_ascii=False)
    if not quoted.isprintable():
        sys.exit(f"gke.sh: {name} holds characters that YAML does not allow")
    return quoted
template = open(sys.argv[1], encoding="utf-8").read()
print(re.sub(r"\$\{([A-Z_]+)\}", lambda found: text(found[1]), template))
'
filled=$(python3 -I -X utf8 -c "$fill" "$(dirname "$0")/gke_jobset.yaml" "$@")
if [[ $dry ]]; then
  echo "$filled"
  exit 0
fi
kubectl apply --filename=- <<<"$filled"
kubectl wait --for=create --timeout=10m "pod" \
  --selector="jobset.sigs.k8s.io/jobset-name=$RUN_NAME,batch.kubernetes.io/job-completion-index=0"
exec kubectl logs --follow --pod-running-timeout=60m \
  --selector="jobset.sigs.k8s.io/jobset-name=$RUN_NAME,batch.kubernetes.io/job-completion-index=0"
