#!/usr/bin/env bash
# Builds, vets and tests nested modules the way those get them who use them: against the root
# module as a module proxy serves it, with neither a replace directive nor a workspace. So a
# file that only the checkout has, or an import of what the root module's go.mod doesn't
# require, fails here. The root module is that of the working tree, uncommitted changes
# included, and stays in the module cache no longer than this runs.
#
#	scripts/published.sh [flags of go test]
set -euo pipefail
cd "$(dirname "$0")/.."

# The nested modules that programs import.
modules="otelscope grpcscope connectscope"

root=$(sed -n 's/^module //p' go.mod)
version=none # so far
tmp=$(mktemp -d)
cache=$(go env GOMODCACHE)
clean() {
	# What is in the module cache is write-protected.
	for left in "$cache/$root@$version" "$cache/cache/download/$root/@v/$version".*; do
		[ ! -e "$left" ] || { chmod -R u+w "$left" && rm -rf "$left"; }
	done
	[ ! -e "$cache/cache/download/$root/@v/list" ] || sed -i "/^$version\$/d" "$cache/cache/download/$root/@v/list"
	rm -rf "$tmp"
}
trap clean EXIT

# The tree of all files that git would commit, and a version that belongs to these contents
# alone.
tree=$(export GIT_INDEX_FILE=$tmp/index; git add --all . && git write-tree)
version=v0.0.0-20060102150405-${tree:0:12}

# archive FOLDER FORMAT [OPTIONS...] writes what belongs to the module in FOLDER, and not to
# one further in.
archive() {
	local without=() mod
	for mod in $(git ls-tree -r --name-only "$tree" | sed -n 's|/go\.mod$||p'); do
		if [ "$1" = . ] || [[ $mod = "$1"/* ]]; then without+=(":(exclude)$mod"); fi
	done
	git archive --format="$2" "${@:3}" "$tree" -- "$1" "${without[@]}"
}

proxy=$tmp/proxy/$root/@v
mkdir -p "$proxy"
echo "$version" >"$proxy/list"
printf '{"Version":"%s","Time":"2006-01-02T15:04:05Z"}\n' "$version" >"$proxy/$version.info"
git show "$tree:go.mod" >"$proxy/$version.mod"
archive . zip --prefix="$root@$version/" >"$proxy/$version.zip"

export GOPROXY="file://$tmp/proxy,$(go env GOPROXY)" GONOPROXY=none GOWORK=off
export GONOSUMDB="$(go env GONOSUMDB),$root"
flags=$(go env GOFLAGS)
mkdir "$tmp/copy"
for m in $modules; do
	echo "== $m with $root@$version"
	archive "$m" tar | tar -x -C "$tmp/copy"
	(
		cd "$tmp/copy/$m"
		go mod edit -dropreplace="$root" -require="$root@$version"
		GOFLAGS="$flags -mod=mod" go get "$root@$version"
		if grep -q '^replace' go.mod; then
			echo "$m/go.mod replaces more than the root module:" >&2
			grep '^replace' go.mod >&2
			exit 1
		fi
		go build ./...
		go vet ./...
		go test "$@" ./...
	)
done
