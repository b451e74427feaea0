#!/usr/bin/env bash
# Everything worth knowing on one GPU, in less than 9 minutes: bash bench/gpu.sh
# Writes $OUT/<device>-<date>.json and .md (OUT: bench/results); needs torch, transformers, scipy, typer, rich and, for data sheets, pydantic.
set -uo pipefail
total=510
source "$(dirname "$0")/parts.sh"
calibrated=()
profile() { # MODEL SECONDS
  part "profile-$1" "$2" "$python" -m sparsecalc profile "$1" "${calibrated[@]}" --device cuda --phase decode --batch-size 1,8,32,128 \
    --context 2048 --time-budget $(($2 - 15)) --json -o "$parts/profile-$1.json"
}

"$python" -c 'import torch; assert torch.cuda.is_available(), "torch sees no CUDA device"' || exit 1
nvidia-smi 2>/dev/null | head -15
part harness 40 "$python" bench/gpu_kernels.py harness --output "$parts/harness.json"
part calibration 150 "$python" -m sparsecalc calibrate --device cuda --time-budget 120 -o "$parts/calibration.json"
"$python" bench/collect.py "$parts" "$out"
"$python" -c 'import json, sys; sys.exit(not json.load(open(sys.argv[1]))["constants"])' "$parts/calibration.json" &&
  calibrated=(--calibration "$parts/calibration.json")
profile qwen3-30b-a3b 45
profile mixtral-8x7b 45
profile llama-3.1-8b 35
profile olmoe-1b-7b 35
profile olmo-2-1b 30
part prefill 30 "$python" -m sparsecalc profile qwen3-30b-a3b "${calibrated[@]}" --device cuda --phase prefill --batch-size 1 \
  --context 512,2048 --time-budget 15 --json -o "$parts/prefill.json"
part sparse 60 "$python" bench/gpu_kernels.py sparse --output "$parts/sparse.json"
"$python" bench/collect.py "$parts" "$out"
for model in qwen3-0.6b olmoe-1b-7b; do
  part "bench-$model" 45 "$python" -m sparsecalc bench "$model" "${calibrated[@]}" --device cuda --batch-size 8 --prompt-len 512 \
    --output-len 32 --json -o "$parts/bench-$model.json"
done
"$python" bench/collect.py "$parts" "$out"
echo "done in ${SECONDS} s"
