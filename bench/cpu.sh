#!/usr/bin/env bash
# This CPU, in about 16 minutes and less than 10 GB: bash bench/cpu.sh
# Calibrates, then holds predictions against layers of five models, and against two models that generate.
# Writes $OUT/<device>-<date>.json and .md (OUT: bench/results).
set -uo pipefail
total=${TOTAL:-960}
ulimit -d $((10 * 1024 * 1024)) # KiB of private memory
source "$(dirname "$0")/parts.sh"
part calibration 240 "$python" -m sparsecalc calibrate --device cpu --time-budget 220 -o "$parts/calibration.json"
"$python" bench/collect.py "$parts" "$out"
shared=(--device cpu --memory-limit 9 --calibration "$parts/calibration.json" --json)
profile() { # NAME MODEL PHASE BATCHES CONTEXTS SECONDS
  part "$1" "$6" "$python" -m sparsecalc profile "$2" "${shared[@]}" --layers 1 --phase "$3" --batch-size "$4" \
    --context "$5" --time-budget $(($6 - 20)) -o "$parts/$1.json"
}
for model in qwen3-30b-a3b olmoe-1b-7b mixtral-8x7b llama-3.2-1b tinyllama-1.1b; do
  profile "decode-$model" "$model" decode 1,2,4,8,16,32,64 512 90
  profile "prefill-$model" "$model" prefill 1 128,512 40
done
generate() { # NAME MODEL LAYERS
  part "$1" 60 "$python" -m sparsecalc bench "$2" "${shared[@]}" --layers "$3" --prompt-len 128 --output-len 24 \
    --time-budget 40 -o "$parts/$1.json"
}
generate bench-tinyllama-1.1b tinyllama-1.1b auto
generate bench-olmoe-1b-7b olmoe-1b-7b 4
part sparse 60 "$python" bench/sparse_cpu.py --seconds 0.3 --output "$parts/sparse.json"
"$python" bench/collect.py "$parts" "$out"
echo "done in ${SECONDS} s"
