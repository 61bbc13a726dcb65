#!/usr/bin/env bash
# What a GPU may change, checked on one, in less than eight minutes: `bash tools/check_cuda.sh`.
#
# 1. Says which card it is, and which versions of Python, torch, torchvision, CUDA and the driver.
# 2. Trains a classifier on drawn garments with `fashionlib train-classifier`, in bfloat16 as on
#    every GPU, twice with one seed: both must save the same bytes.
# 3. Times a short training on the processor and on the card, and prints the ratio.
# 4. Runs the chapters and the solutions of the exercises with the quick budget, by nbval.
#
# Another Python than that of .venv, which is made where it is missing, may be given as argument.
# Ends with 0 if all is well, 1 if something failed, 2 if there is no CUDA device.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LIMIT=480 # seconds for everything, once packages are there
python=${1:-.venv/bin/python}
[ -x "$python" ] || make .venv/.ready

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "no CUDA device"
    exit 2
fi

SECONDS=0
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
export FASHIONLIB_BUDGET=quick FASHIONLIB_CACHE="$made/cache" TQDM_DISABLE=1 HF_HUB_OFFLINE=1

"$python" - <<'END'
import platform

import torch
import torchvision

print(f"card: {torch.cuda.get_device_name()}, {torch.cuda.device_count()} in all")
print(f"versions: Python {platform.python_version()}, torch {torch.__version__}, "
      f"torchvision {torchvision.__version__}, CUDA {torch.version.cuda}")
END
echo "driver: $(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 ||
    echo unknown)"

for run in first second; do
    "$python" -m fashionlib train-classifier --data drawn --epochs 2 --seed 5 \
        --out "$made/$run.safetensors"
done
if ! cmp "$made/first.safetensors" "$made/second.safetensors"; then
    echo "two trainings with one seed: NOT the same"
    exit 1
fi
echo "two trainings with one seed: the same to the last byte"

# seconds of two epochs, after one in which all is loaded
seconds() {
    "$python" - <<'END'
import torch

from fashionlib.catalog import load_catalog
from fashionlib.heads import build_classifier
from fashionlib.running.runs import run_training
from fashionlib.training import Recipe, classifier_training

torch.manual_seed(0)
catalog = load_catalog("drawn", few=True)
_, rows = run_training(classifier_training(build_classifier("fashion"), catalog, Recipe(epochs=3)))
print(sum(row["seconds"] for row in rows[1:]))
END
}
on_cuda=$(seconds)
on_cpu=$(CUDA_VISIBLE_DEVICES='' seconds)
awk -v cpu="$on_cpu" -v cuda="$on_cuda" 'BEGIN {
    printf "two epochs: %.1f s on the processor, %.1f s on the card, ratio %.1f\n",
        cpu, cuda, cpu / cuda
}'

workers=$(($(nproc) > 6 ? 6 : $(nproc)))
result=0
OMP_NUM_THREADS=2 timeout "$((LIMIT - SECONDS))" "$python" -m pytest -q -n "$workers" \
    --dist=loadscope --nbval-lax --nbval-cell-timeout=300 \
    notebooks/[0-9]*.ipynb notebooks/exercises/solutions || result=$?
if [ "$result" -eq 124 ]; then
    echo "chapters and solutions: NOT done after $LIMIT s"
    exit 1
elif [ "$result" -ne 0 ]; then
    echo "chapters and solutions: NOT all passed"
    exit 1
fi
echo "chapters and solutions: passed"
echo "all is well, after $SECONDS s"
