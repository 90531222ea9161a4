#!/usr/bin/env bash
# Starts three toy caches and a router in front of them, asks for a few paths, stops a cache, asks again.
#
#   ./run.sh [WAYPOST]     the program to use; built when it is not named
#
# Ports: $PORT (8080), $ADMIN (8081), and the caches' $CACHE1 $CACHE2 $CACHE3 (6081 6082 6083).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

port="${PORT:-8080}" admin="${ADMIN:-8081}"
caches=("${CACHE1:-6081}" "${CACHE2:-6082}" "${CACHE3:-6083}")
if [ $# -gt 0 ]; then
  waypost="$1"
else
  cargo build --quiet --package waypost
  waypost="${CARGO_TARGET_DIR:-../../target}/debug/waypost"
fi

scratch="$(mktemp -d)"
started=()
end() {
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    # Told by the shell, and of no interest.
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$scratch"
}
trap end EXIT

config="$scratch/waypost.toml"
sed "s/:6081/:${caches[0]}/; s/:6082/:${caches[1]}/; s/:6083/:${caches[2]}/" waypost.toml >"$config"

# until_answers URL: waits until it is answered with 200.
until_answers() {
  local try
  for try in $(seq 200); do
    curl --silent --fail --output "$scratch/answer" "$1" && return 0
    sleep 0.05
  done
  echo "$1 is not answered after $try tries" >&2
  return 1
}

for cache in "${caches[@]}"; do
  python3 cache.py "$cache" &
  started+=($!)
done
for cache in "${caches[@]}"; do until_answers "http://127.0.0.1:$cache/health"; done

"$waypost" serve --config "$config" --data "$scratch/data" --log-level info \
  --listen "127.0.0.1:$port" --admin "127.0.0.1:$admin" >"$scratch/router.out" 2>"$scratch/router.log" &
started+=($!)
until_answers "http://127.0.0.1:$port/healthz"

ask() {
  local path
  for path in /healthz /a /b /c /d /e /f; do
    printf '%-9s ' "$path"
    curl --silent --show-error "http://127.0.0.1:$port$path"
  done
}

echo "== inside the router, or from the cache whose path it is"
ask
echo "== the same without the cache at ${caches[0]}: only its paths move"
kill "${started[0]}"
ask
echo "== the tree"
"$waypost" backend list --admin "127.0.0.1:$admin"
echo "== what the log says of the first requests"
grep 'waypost::exchange' "$scratch/router.log" | sed -n '1,6p'
