#!/bin/bash
# Every benchmark of the storage engine, one after the other, and a Markdown table of what they say. To be run
# on a machine that does nothing else.
#
#   run_engine.sh [--quick] [--rounds 5]
#
# --quick: small sizes and one round, to see whether the benchmarks work; the figures mean nothing then.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
"$root/deploy/packages" benchmark
if [ -z "${STILLPOINT_BINARY:-}" ]; then
    swift build --package-path "$root" -c release --product stillpoint
    swift build --package-path "$root" -c release --product engine-bench
    export STILLPOINT_BINARY="$root/.build/release/stillpoint"
fi
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
failed=""
for script in plain_nbd.py penalty.py generations.py copies.py restart.py; do
    echo "== $script" >&2
    "$here/$script" "$@" | tee -a "$rows" >&2 || failed="$failed $script"
done
echo "| What | Stillpoint | Peer | Ratio |"
echo "|---|---|---|---|"
grep '^|' "$rows" || true
[ -z "$failed" ] || { echo "run_engine.sh: failed:$failed" >&2; exit 1; }
