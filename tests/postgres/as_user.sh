#!/usr/bin/env bash
# Runs a command as a user that PostgreSQL accepts: root is none.
set -euo pipefail
# A folder that every user may be in.
cd /
if ((EUID == 0)); then
    exec setpriv --reuid postgres --regid postgres --clear-groups "$@"
fi
exec "$@"
