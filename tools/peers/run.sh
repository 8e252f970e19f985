#!/usr/bin/env bash
# Times the same networks, weights and inputs in PyTorch and in this library, a process a case and side, and prints
# the ratios of time and memory: all cases (an hour), or those whose names contain the argument.
# Needs a Python with the packages of tools/golden/requirements.txt (PYTHON=...); leave the machine alone meanwhile.
#
#     tools/peers/run.sh [train_step/encoder-12x384]
set -euo pipefail
cd "$(dirname "$0")/../.."
out=out/peers
python=${PYTHON:-python3}
mkdir -p "$out"
[ -d "$out/models/encoder-12x768" ] || "$python" tools/peers/make_models.py "$out/models"
cargo build --release -p dlm-benches --bin peers
rm -f "$out"/{dlm,pytorch}.jsonl
for size in 12x384 3x128 12x768; do
    for case in {forward,train_step}/encoder-$size/{1x64,8x64,1x256,8x256,64x24}; do
        [[ $case == *"${1:-}"* ]] || continue
        "$python" -B "tools/peers/$([[ $case == forward* ]] && echo encoder || echo train_step).py" "$out/models" 2 "$case" >> "$out/pytorch.jsonl"
        # Through cargo, which sets what .cargo/config.toml asks of the allocator.
        cargo run -q --release -p dlm-benches --bin peers -- "$out/models" "$case" >> "$out/dlm.jsonl"
    done
done
"$python" tools/peers/compare.py "$out/pytorch.jsonl" "$out/dlm.jsonl"
