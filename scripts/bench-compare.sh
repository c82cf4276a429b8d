#!/usr/bin/env bash
# Measures taskscope as it is in this tree and as it was at BASE, with the same rows: those of this
# tree's benchmarks, which are built with the library of BASE too. The two run by turns, table by
# table, and benchstat compares them. It fails if a row of taskscope allocates more than before, and
# for nothing else: on a shared machine times prove little.
#
#   scripts/bench-compare.sh BASE
#
# ROUNDS (10) is how many samples each row gets, SLICE (4ms) how long one takes, and ONLY the name of
# the only table. The files of benchmarks that can't be built with BASE are left out, and their tables
# are named.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

benchstat=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
base=$(git rev-parse --verify --quiet "${1:?which revision?}^{commit}") || { echo "there is no revision $1 here" >&2; exit 2; }
tmp=$(mktemp -d)
finish() {
	git -C "$root" worktree remove --force "$tmp/tree" 2>/dev/null || true
	rm -rf "$tmp"
}
trap finish EXIT
export GOWORK=off
# What BASE lacks isn't looked for elsewhere.
export GOPRIVATE='github.com/taskscope/*' GOVCS='github.com/taskscope/*:off'

echo "== HEAD is this tree, at $(git describe --always --dirty); BASE is $(git log -1 --format='%h %s' "$base")"
go -C benchmarks build -o "$tmp/head" .

# BASE's library, with this tree's benchmarks.
git worktree add --quiet --detach "$tmp/tree" "$base"
rm -rf "$tmp/tree/benchmarks"
cp -r benchmarks "$tmp/tree/"
cd "$tmp/tree/benchmarks"
go mod edit -json | sed -nE 's/.*"Path": "(\.\.\/[^"]+)".*/\1/p' | while read -r folder; do
	if [ ! -f "$folder/go.mod" ]; then # a module that BASE doesn't have
		module=github.com/taskscope/taskscope/${folder#../}
		go mod edit -dropreplace="$module" -droprequire="$module"
	fi
done
until go build -mod=mod -gcflags=-e -o "$tmp/base" . 2>"$tmp/errors"; do
	broken=$(sed -nE 's/^(\.\/)?([a-z_]+\.go):[0-9]+.*/\2/p' "$tmp/errors" | sort -u)
	case " $(echo $broken) " in
	"  " | *" main.go "* | *" measure.go "* | *" report.go "* | *" common.go "*)
		cat "$tmp/errors" >&2
		echo "this tree's benchmarks can't be built with BASE" >&2
		exit 2
		;;
	esac
	[ -z "${VERBOSE:-}" ] || cat "$tmp/errors"; rm $broken
done

"$tmp/head" -list | grep -v '^command: ' | uniq >"$tmp/all"
"$tmp/base" -list | grep -v '^command: ' | uniq >"$tmp/both"
grep -vxFf "$tmp/both" "$tmp/all" | sed 's/^/== skipped, it needs what BASE lacks: /' || true
[ -z "${ONLY:-}" ] || echo "$ONLY" >"$tmp/both"

for i in $(seq "${ROUNDS:-10}"); do
	turns="base head"
	[ $((i % 2)) = 0 ] || turns="head base"
	while read -r table; do
		for which in $turns; do
			"$tmp/$which" -bench -rounds 1 -slice "${SLICE:-4ms}" -only "$table" >>"$tmp/$which.txt" </dev/null
		done
	done <"$tmp/both"
done

cd "$tmp"
go run "$benchstat" BASE=base.txt HEAD=head.txt
"$tmp/head" allocs base.txt head.txt
