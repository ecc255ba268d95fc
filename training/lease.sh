#!/bin/bash
# What runs on a lent machine, one call each (README.md, "Run book"):
#
#     bash training/lease.sh smoke [CONFIGURATION]            40 steps through all phases of a run
#     bash training/lease.sh train [CONFIGURATION] [MINUTES]  a run, done and given back in MINUTES
#
# A call brings one parcel. What comes back lies in $OUT.
set -euo pipefail

verb=$1
configuration=${2:-base}
minutes=${3:-9}
home=${INKLING_TRAINING_HOME:-$HOME/inkling}
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false PYTHONPATH=$home/site

mkdir -p "$home"
for parcel in training/data/parcel-*; do
    if [ -d "$parcel/wheels" ]; then
        python3 -m pip install --quiet --no-index --no-deps --no-compile --upgrade \
            --target "$home/site" "$parcel"/wheels/*.whl
    fi
    python3 -m training.loop.machine receive "$parcel" "$home"
done

train=(python3 -m training.loop.train "$configuration" --runs "$home/runs" --shards "$home"
    --tokenizer "$home/tokenizer" --give "$OUT")
case $verb in
    smoke)
        nvidia-smi || true
        "${train[@]}" --run smoke --steps 40
        ;;
    train) "${train[@]}" --run "$configuration" --finish-after "$minutes" ;;
    *)
        echo "lease.sh does not know $verb; use smoke or train" >&2
        exit 2
        ;;
esac
