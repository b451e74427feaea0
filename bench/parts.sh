# Shared by gpu.sh and cpu.sh: parts that are each guarded and time-boxed, so that one failure does not lose the rest.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
out=${OUT:-bench/results}
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 NO_COLOR=1
mkdir -p "$out"

# part NAME SECONDS COMMAND...: the command writes $parts/NAME.json; it gets SECONDS, or what is left of $total.
part() {
  local name=$1 seconds=$2 left=$((total - SECONDS))
  shift 2
  if ((left < 10)); then
    echo "== $name: no time left"
    touch "$parts/$name.failed"
    return
  fi
  echo "== $name (at ${SECONDS} s)"
  timeout --signal=INT --kill-after=15 "$((seconds < left ? seconds : left))" "$@" || touch "$parts/$name.failed"
}
