#!/bin/bash
# What runs on a lent machine, one call each (README.md, "Run book"):
#
#     bash training/lease.sh begin CONFIGURATION MINUTES PAUSE   PAUSE minutes of a run of MINUTES
#     bash training/lease.sh finish CONFIGURATION MINUTES        the rest of it, in MINUTES in all
#     bash training/lease.sh smoke CONFIGURATION                 40 steps through all its phases
#
# A call brings one parcel; every parcel has all that is needed. What comes back lies in $OUT: behind
# `begin` 8-bit weights to go on from, if this machine is lost, behind the others the checkpoint.
set -euo pipefail

verb=$1
configuration=$2
home=${INKLING_TRAINING_HOME:-$HOME/inkling}
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false PYTHONPATH=$home/site

case $verb in
    begin) options=(--run "$configuration" --minutes "$3" --pause-after "$4") ;;
    finish) options=(--run "$configuration" --finish-after "$3") ;;
    smoke) options=(--run smoke --steps 40) ;;
    *)
        echo "lease.sh does not know $verb; use begin, finish or smoke" >&2
        exit 2
        ;;
esac

mkdir -p "$home"
for parcel in training/data/parcel-*; do
    if [ ! -d "$home/site" ]; then
        python3 -m pip install --quiet --no-index --no-deps --no-compile \
            --target "$home/site" "$parcel"/wheels/*.whl
    fi
    python3 -m training.loop.machine receive "$parcel" "$home"
done
nvidia-smi || true
python3 -m training.loop.train "$configuration" "${options[@]}" --runs "$home/runs" \
    --shards "$home" --tokenizer "$home/tokenizer" --give "$OUT"
