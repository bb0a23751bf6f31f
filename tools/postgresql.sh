#!/usr/bin/env bash
# Prints the folder of PostgreSQL's server programs; installs Debian's package first where there are none.
set -euo pipefail

find_programs() {
    local place
    for place in "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/initdb)")" /usr/lib/postgresql/*/bin /usr/local/bin /usr/local/pgsql/bin; do
        if [ -x "$place/initdb" ] && [ -x "$place/postgres" ] && [ -x "$place/pg_ctl" ]; then
            echo "$place"
            return 0
        fi
    done
    return 1
}

if find_programs; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "PostgreSQL's server programs are missing. Install them: apt-get install postgresql" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -qq --no-install-recommends postgresql; } >/dev/null 2>&1 || {
    echo "apt-get could not install postgresql." >&2
    exit 1
}
find_programs
