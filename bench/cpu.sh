#!/usr/bin/env bash
# This CPU, in about 12 minutes and less than 10 GB: bash bench/cpu.sh
# Writes $OUT/<device>-<date>.json and .md (OUT: bench/results).
set -uo pipefail
total=${TOTAL:-720}
ulimit -d $((10 * 1024 * 1024)) # KiB of private memory
source "$(dirname "$0")/parts.sh"
part calibration 150 "$python" -m sparsecalc calibrate --device cpu --quick --time-budget 120 -o "$parts/calibration.json"
"$python" bench/collect.py "$parts" "$out"
profile() { # NAME MODEL PHASE BATCHES CONTEXTS SECONDS
  part "$1" "$6" "$python" -m sparsecalc profile "$2" --device cpu --layers 1 --memory-limit 9 --phase "$3" \
    --batch-size "$4" --context "$5" --time-budget $(($6 - 20)) --json -o "$parts/$1.json"
}
for model in qwen3-30b-a3b olmoe-1b-7b mixtral-8x7b olmo-2-1b tinyllama-1.1b; do
  profile "decode-$model" "$model" decode 1,4,16,64 512 60
  profile "prefill-$model" "$model" prefill 1 128,512 50
done
part sparse 60 "$python" bench/sparse_cpu.py --seconds 0.3 --output "$parts/sparse.json"
"$python" bench/collect.py "$parts" "$out"
echo "done in ${SECONDS} s"
