#!/usr/bin/env bash
# Everything worth knowing on one GPU, in less than 9 minutes: bash bench/gpu.sh
# Writes $OUT/<device>-<date>.json and .md (OUT: bench/results); needs torch, transformers, typer and rich.
set -uo pipefail
total=510
source "$(dirname "$0")/parts.sh"
profile() { # NAME MODEL BATCHES CONTEXT SECONDS
  part "profile-$1" "$5" "$python" -m sparsecalc profile "$2" --device cuda --phase decode,prefill --batch-size "$3" \
    --context "$4" --time-budget $(($5 - 12)) --json -o "$parts/profile-$1.json"
}

"$python" -c 'import torch; assert torch.cuda.is_available(), "torch sees no CUDA device"' || exit 1
nvidia-smi 2>/dev/null | head -15
part harness 40 "$python" bench/gpu_kernels.py harness --output "$parts/harness.json"
part calibration 150 "$python" -m sparsecalc calibrate --device cuda --time-budget 120 -o "$parts/calibration.json"
"$python" bench/collect.py "$parts" "$out"
profile qwen3-30b-a3b qwen3-30b-a3b 1,8,32,128 2048 45
profile mixtral-8x7b mixtral-8x7b 1,8,32,128 2048 45
profile llama-3.1-8b llama-3.1-8b 1,8,32,128 2048 35
profile olmoe-1b-7b olmoe-1b-7b 1,8,32,128 2048 35
profile olmo-2-1b olmo-2-1b 1,8,32,128 2048 30
part sparse 60 "$python" bench/gpu_kernels.py sparse --output "$parts/sparse.json"
"$python" bench/collect.py "$parts" "$out"
for model in qwen3-0.6b olmoe-1b-7b; do
  part "bench-$model" 45 "$python" -m sparsecalc bench "$model" --device cuda --batch-size 1,8 --prompt-len 512 \
    --output-len 32 --json -o "$parts/bench-$model.json"
done
"$python" bench/collect.py "$parts" "$out"
echo "done in ${SECONDS} s"
