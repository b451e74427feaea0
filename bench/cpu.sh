#!/usr/bin/env bash
# This CPU, in about 10 minutes and less than 10 GB: bash bench/cpu.sh
# Writes $OUT/<device>-<date>.json and .md (OUT: bench/results).
set -uo pipefail
total=${TOTAL:-600}
ulimit -d $((10 * 1024 * 1024)) # KiB of private memory
source "$(dirname "$0")/parts.sh"
part calibration 150 "$python" -m sparsecalc calibrate --device cpu --quick --time-budget 120 -o "$parts/calibration.json"
"$python" bench/collect.py "$parts" "$out"
for model in qwen3-30b-a3b olmoe-1b-7b mixtral-8x7b olmo-2-1b tinyllama-1.1b; do
  part "profile-$model" 80 "$python" -m sparsecalc profile "$model" --device cpu --layers 1 --batch-size 1,4,16,64 \
    --context 512 --time-budget 60 --json -o "$parts/profile-$model.json"
done
part sparse 60 "$python" bench/sparse_cpu.py --seconds 0.3 --output "$parts/sparse.json"
"$python" bench/collect.py "$parts" "$out"
echo "done in ${SECONDS} s"
