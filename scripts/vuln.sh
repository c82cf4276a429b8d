#!/usr/bin/env bash
# Asks the Go vulnerability database about each module of the repository: what the code
# calls, of its dependencies and of the standard library. A finding fails. So does
# anything else that goes wrong, but for one: a machine that can't reach the database
# says so and passes, unless VULN_REQUIRED is set.
#
# VULN_DB is another address of the database, for a mirror ("file:///…" works too).
set -uo pipefail
cd "$(dirname "$0")/.."

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
GOFLAGS='' GOBIN=$tmp go install golang.org/x/vuln/cmd/govulncheck@v1.9.0 || exit 1

status=0 asked=0 unasked=0
for mod in $(git ls-files --cached --others --exclude-standard 'go.mod' '*/go.mod'); do
	folder=$(dirname "$mod")
	echo "== $folder"
	(cd "$folder" && "$tmp/govulncheck" ${VULN_DB:+-db "$VULN_DB"} -test ./...) >"$tmp/log" 2>&1
	code=$?
	cat "$tmp/log"
	if [ $code -eq 0 ]; then
		asked=$((asked + 1))
	elif [ $code -ne 3 ] && grep -q '^govulncheck: fetching vulnerabilities: ' "$tmp/log"; then
		unasked=$((unasked + 1)) # 3 is a finding
	else
		asked=$((asked + 1)) status=1
	fi
done
if [ $unasked -gt 0 ]; then
	echo "NOT CHECKED: $unasked of $((asked + unasked)) modules, since the vulnerability database can't be reached from here"
	[ -z "${VULN_REQUIRED-}" ] || status=1
fi
exit $status
