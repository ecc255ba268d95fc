#!/bin/bash
# What CUDA does, on a lent machine that has Python 3.12, torch's libraries of CUDA 13 and no network:
#
#     bash build/cuda/lent.sh CHECKPOINT OUT
#
# build/cuda is what `python -m benchmarks.lent` made; CHECKPOINT the weights of a model, packed as
# training keeps them. Every step says how it ended and leaves what it printed in OUT; none stops the
# others. The mixture of a billion parameters is made while the tests run.
set -uo pipefail

parcel=$(cd "$(dirname "$0")" && pwd) checkpoint=$1 out=$2
home=${INKLING_LENT_HOME:-$HOME/inkling-cuda}
python=${INKLING_LENT_PYTHON:-python3}
device=${INKLING_LENT_DEVICE:-cuda}
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false ORT_DISABLE_TELEMETRY=1 COLUMNS=160

step() {
    local name=$1
    shift
    echo "== $name after ${SECONDS} s"
    "$@" >"$out/$name.txt" 2>&1
    echo "== $name ended with $? after ${SECONDS} s"
    tail -n "${TAIL:-12}" "$out/$name.txt" | cut -c1-500
}

nvidia_folders() {
    "$python" - <<'END'
from pathlib import Path
try:
    import nvidia
except ImportError:
    raise SystemExit from None
found = {path.parent for root in nvidia.__path__ for path in Path(root).rglob("*.so*")}
print(":".join(map(str, sorted(found))))
END
}

mkdir -p "$home" "$out"
[ -d "$home/site" ] || tar -C "$home" -xJf "$parcel/site.tar.xz"
tar -C "$home" -xJf "$parcel/code.tar.xz"
cd "$home/code" || exit 1
export PYTHONPATH=$home/site${PYTHONPATH:+:$PYTHONPATH}
LD_LIBRARY_PATH=$(nvidia_folders):${LD_LIBRARY_PATH:-}
export LD_LIBRARY_PATH

mixture() {
    nice -n 10 "$python" -c "
from pathlib import Path
from benchmarks.batches import random_package
random_package(Path('$home/mixture'), ${MIXTURE_LAYERS:-18}, '$device')"
}
mixture >"$out/mixture.txt" 2>&1 &
making=$!

TAIL=4 step found "$python" -c "
import numpy, onnxruntime as ort
from inference.runtime.onnx import check_cuda
print(ort.__version__, numpy.__version__, ort.get_available_providers())
check_cuda()
print('CUDA answers')"
# The tests read the checkpoint that ships; here it is the one that was brought or just trained.
rm -rf training/checkpoints/base && mkdir -p training/checkpoints
cp -r "$checkpoint" training/checkpoints/base
tests=("$python" -m pytest -p no:cacheprovider -o addopts= --import-mode=importlib -W default -m gpu -q
    tests/export/graph/test_on_gpu.py)
TAIL=40 step int4 "${tests[@]}" --basetemp "$home/int4" -k "int4 and not fast"
package=$(find "$home/int4" -name manifest.json -printf '%h\n' | head -1)
step batches "$python" -m benchmarks.batches "$package" --device "$device"
step decode "$python" -m benchmarks.decode "$package" --device "$device" --rounds 2
wait "$making"
echo "== the mixture was there after ${SECONDS} s"
tail -n 3 "$out/mixture.txt"
step mixture_batches "$python" -m benchmarks.batches "$home/mixture/package" --device "$device"
step mixture_decode "$python" -m benchmarks.decode "$home/mixture/package" --device "$device" --rounds 1
TAIL=40 step others "${tests[@]}" --basetemp "$home/others" -k "(int8 or f16) and not fast"
