#!/usr/bin/env bash
# Runs the tests on each supported Go version and on other platforms, and writes a table
# of what ran and how to docs/results/matrix.md. It goes on after a failure, and fails at the end.
#
#	scripts/matrix.sh [-quick] [-o file]
#
# With -quick it takes what a CI run has time for: the other Go versions without the race
# detector, and platforms with the Go that is installed, whose own tests CI runs anyhow. It
# writes the table to standard output unless -o is given, and what this machine lacks
# (a Go version, node, QEMU) is said in the table and is no failure.
set -uo pipefail
cd "$(dirname "$0")/.."

unset TASKSCOPE_CARRIER # would choose another path

quick=false out=docs/results/matrix.md self="make matrix"
while [ $# -gt 0 ]; do
	case $1 in
	-quick) quick=true out=/dev/stdout self="make matrix MATRIXFLAGS=-quick" ;;
	-o) out=${2:?-o takes a file}; shift ;;
	*) echo "usage: $0 [-quick] [-o file]" >&2; exit 2 ;;
	esac
	shift
done

versions="1.25 1.26 1.27"
emulated="arm64 riscv64 s390x"
linked="windows/amd64 windows/arm64 darwin/amd64 darwin/arm64 freebsd/amd64 openbsd/amd64 android/arm64 wasip1/wasm
	linux/arm linux/ppc64le linux/loong64 linux/mips64le"
store=./scope/...
adapters="./scope/... ./logadapters/... ./slogh/... ./zaph/... ./zeroh/..."
vetted=./...
if $quick; then
	emulated="s390x" # big-endian: furthest from the rest
	linked="windows/amd64 darwin/arm64"
	vetted=$adapters adapters=$store
fi

# What js/wasm can't do: it has no CPU profile, and can't start a process.
js_skip='^(TestCPUProfileHasNoLabelOfOursUnlessProfiled|TestPanicInGoEndsTheProgram|TestEnvironmentAsksForAPath|TestTheDefaultHandler.*)$'

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
rows=$tmp/rows failed=0
: >"$rows"

# The probe says what it runs on and which path carries a scope there.
mkdir "$tmp/probe"
cat >"$tmp/probe/main.go" <<'GO'
package main

import (
	"fmt"
	"runtime"

	"github.com/taskscope/taskscope/scope"
)

func main() {
	inherited := make(chan string)
	scope.New("k", "inherited").Run(func() {
		go func() { inherited <- scope.GetOr("k", "lost") }()
	})
	fmt.Printf("%s %s/%s %s %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, scope.Carrier(), <-inherited)
}
GO

# QEMU's user mode doesn't start the programs that an emulated program starts. So the
# program becomes a script that calls QEMU, and a test may run its own binary again.
cat >"$tmp/emulate" <<'SH'
#!/bin/sh
qemu=$1 program=$2
shift 2
if [ ! -e "$program.real" ]; then
	mv "$program" "$program.real"
	printf '#!/bin/sh\nexec %s -0 "$0" "%s.real" "$@"\n' "$qemu" "$program" >"$program"
	chmod +x "$program"
fi
exec "$program" "$@"
SH
chmod +x "$tmp/emulate"

# row PLATFORM GO HOW WHAT COMMAND... runs the command and adds its row to the table. A
# command that ends with "lack" hasn't run for want of something.
row() {
	local platform=$1 version=$2 how=$3 what=$4 begin=$SECONDS result=pass status
	shift 4
	printf '%-16s %-10s %s, %s: ' "$platform" "$version" "$how" "$what" >&2
	"$@" >"$tmp/log" 2>&1
	status=$?
	if $quick && [ $status -eq $lacking ]; then
		result="not run: $(tail -n 1 "$tmp/log")"
	elif [ $status -ne 0 ]; then
		result=FAIL failed=$((failed + 1))
	fi
	printf '%s (%ss)\n' "$result" $((SECONDS - begin)) >&2
	[ "$result" = pass ] || tail -n 60 "$tmp/log" >&2
	printf '| %s | %s | %s | %s | %s | %s |\n' "$platform" "$version" "$how" "$what" "$result" $((SECONDS - begin)) >>"$rows"
}

lacking=77
lack() { echo "$*"; return $lacking; }

# suite PLATFORM GO FLAGS PACKAGES: the direct path is active, a goroutine inherits, and
# the tests pass.
suite() {
	direct "$1" "$2" "$3" || return
	# shellcheck disable=SC2086 # flags and packages are lists
	eval go test -count=1 $3 ${5-} $4
}

# direct PLATFORM GO FLAGS: the direct path is active and a goroutine inherits.
direct() {
	local platform=$1 version=$2 flags=$3 said
	# shellcheck disable=SC2086
	said=$(eval go run $flags "$tmp/probe/main.go") || return
	echo "$said"
	case $said in
	"$version $platform direct inherited" | "$version "*" $platform direct inherited") ;;
	*) echo "the probe should say: $version $platform direct inherited"; return 1 ;;
	esac
}

# link vets and builds for a platform that can't be run here, and links the tests.
link() {
	mkdir -p "$tmp/bin"
	# shellcheck disable=SC2086
	go vet $vetted && go build $vetted && go test -c -o "$tmp/bin/" $adapters
	local status=$?
	rm -rf "$tmp/bin"
	return $status
}

# on OS ARCH CGO GO COMMAND... runs the command for this platform with this Go.
on() {
	local os=$1 arch=$2 cgo=$3 version=$4
	shift 4
	(export GOOS=$os GOARCH=$arch CGO_ENABLED=$cgo GOTOOLCHAIN=$version; "$@")
}

# tool COMMAND PACKAGE: the command is there, or can be installed.
tool() {
	command -v "$1" >/dev/null && return
	command -v apt-get >/dev/null || { lack "no $1 here, and no apt-get to install it"; return; }
	(export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq && apt-get install -y -qq --no-install-recommends "$2" >/dev/null) && command -v "$1" >/dev/null ||
		lack "no $1 here, and apt-get can't install $2"
}

on_node() {
	tool node nodejs && suite "$1" "$2" "-exec 'bash $(go env GOROOT)/lib/wasm/go_js_wasm_exec'" "$3" "-skip '$js_skip'"
}

on_qemu() {
	# -short: the tests that build a program and start it would start one for another processor.
	tool "$1" qemu-user && suite "$2" "$3" "-exec '$tmp/emulate $1'" "$4" -short
}

qemu_name() {
	case $1 in arm64) echo qemu-aarch64 ;; *) echo "qemu-$1" ;; esac
}

host=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
own=$(GOTOOLCHAIN=local go env GOVERSION)
last=$(go env GOVERSION)
toolchain=$(go env GOTOOLCHAIN)
cgo=$(go env CGO_ENABLED) # 0 without a C compiler

# nested GO FLAGS runs the tests of the nested modules whose go.mod takes this Go, with -quick
# of those alone that programs import.
nested() {
	local version=${1#go} mod least modules=
	for mod in $(git ls-files '*/go.mod'); do
		! $quick || [[ /$mod != */@(internal|examples|benchmarks)/* ]] || continue
		least=$(sed -n 's/^go //p' "$mod")
		[ "$(printf '%s\n' "$least" "$version" | sort -V | head -n 1)" != "$least" ] || modules+=" ${mod%/go.mod}"
	done
	echo "modules:$modules"
	make test MODULES="$modules" TESTFLAGS="-count=1 $2"
}

# native GO CGO HOW WHAT COMMAND... adds a row of this machine.
native() { row "$host" "$1" "$3" "$4" on "${host%/*}" "${host#*/}" "$2" "$1" "${@:5}"; }

$quick && native "$own" "$cgo" native "which path is taken" direct "$host" "$own" ""

for v in $versions; do
	newest=$(scripts/newest.sh "$v" 2>"$tmp/newest")
	cat "$tmp/newest" >&2
	if grep -q "^NOT THE NEWEST: " "$tmp/newest"; then
		row "$host" "${newest:-go$v}" native "the newest patch of Go $v" lack "the module proxy's list can't be had"
	fi
	if [ -z "$newest" ] || ! (GOTOOLCHAIN=$newest go version) >>"$tmp/newest" 2>&1; then
		row "$host" "${newest:-go$v}" native "root module" lack "$(tail -n 1 "$tmp/newest")"
		continue
	fi
	$quick && [ "$newest" = "$own" ] && continue
	native "$newest" "$cgo" native "root module" suite "$host" "$newest" "" ./...
	if ! $quick || [ "$v" = "${versions##* }" ]; then
		native "$newest" "$cgo" native "nested modules" nested "$newest" ""
	fi
	$quick && continue
	native "$newest" 1 "native, -race" "root module" suite "$host" "$newest" -race ./...
	native "$newest" 1 "native, -race" "nested modules" nested "$newest" -race
	last=$newest toolchain=$newest
done
if ! $quick && [ "$host" = linux/amd64 ]; then
	row linux/386 "$last" native "root module" on linux 386 0 "$toolchain" suite linux/386 "$last" "" ./...
fi
row js/wasm "$last" "node" "$adapters" on js wasm 0 "$toolchain" on_node js/wasm "$last" "$adapters"
for arch in $emulated; do
	row "linux/$arch" "$last" "QEMU user mode" "$adapters" \
		on linux "$arch" 0 "$toolchain" on_qemu "$(qemu_name "$arch")" "linux/$arch" "$last" "$adapters"
done
for p in $linked; do
	row "$p" "$last" "not run" "vet and build $vetted, link the tests of $adapters" on "${p%/*}" "${p#*/}" 0 "$toolchain" link
done

{
	cat <<MD
# Where the tests ran

Written by \`$self\`, not by hand, on $(date -u +%F), on $host with $(nproc 2>/dev/null || echo '?') CPUs. Failures: $failed.

Each row that runs tests has checked first that this Go version is what runs, that \`scope.Carrier()\` is "direct", and that a
plain \`go\` statement passes the scope on. The tests themselves go through the "labels" and "portable" paths too.

| platform | Go | how | what | result | seconds |
|---|---|---|---|---|---|
MD
	cat "$rows"
	cat <<'MD'

Nested modules are those that a program can import, and those of examples, benchmarks and foreign code beside us, as far as
their go.mod takes this Go. The root module's tests include about 150,000 lines of [torture.md](torture.md), 17,000 with -race. On js/wasm these tests are left
out: `TestCPUProfileHasNoLabelOfOursUnlessProfiled`, since it has no CPU profile, and `TestPanicInGoEndsTheProgram`,
`TestEnvironmentAsksForAPath` and those of `TestTheDefaultHandler`, since a program can't start another; other tests that need a CPU profile skip themselves. Under QEMU
the tests that build further programs and start them are left out. Allocation budgets are tested
without the race detector only. The last rows show that the code compiles, vets and links: those platforms can't be run here.
MD
} >"$out"

if [ "$failed" -gt 0 ]; then
	echo "$failed failed" >&2
	exit 1
fi
