#!/usr/bin/env bash
# Prints the newest patch of each of these Go versions, a line each: "go1.26.11" for
# 1.26, of those that the module proxy serves for this machine. Where its list can't be
# had, standard error says so, and what this machine has is taken: the Go that is
# installed and the toolchains in the module cache. Fails if there is none of a version.
#
#	scripts/newest.sh 1.25 1.26
set -uo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "usage: $0 version ..." >&2; exit 2; }

export GOTOOLCHAIN=local
host=$(go env GOHOSTOS)-$(go env GOHOSTARCH)
limit=$(command -v timeout >/dev/null && echo timeout 60) # a proxy may hang

# releases leaves of lines like "v0.0.1-go1.26.11.linux-amd64" those for this machine
# that are no pre-releases, as "go1.26.11".
releases() { sed -n "s|^v0.0.1-\(go[0-9.]*\)\.$host\$|\1|p"; }

known=$($limit go list -m -versions golang.org/toolchain | tr ' ' '\n' | releases)
if [ -z "$known" ]; then
	echo "NOT THE NEWEST: the module proxy's list of Go versions can't be had; taking what this machine has" >&2
	known=$(ls "$(go env GOMODCACHE)/golang.org" 2>/dev/null | sed -n 's|^toolchain@||p' | releases; go env GOVERSION)
fi
status=0
for v in "$@"; do
	printf '%s\n' "$known" | grep -E "^go${v//./\\.}(\.[0-9]+)?\$" | sort -V | tail -n 1 | grep . ||
		{ echo "no release of Go $v can be had" >&2; status=1; }
done
exit $status
