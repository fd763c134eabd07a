# shellcheck shell=bash
# For the scripts beside it, which source it: what they need from Debian.

# Installs packages, as root or by sudo.
install_from_debian() {
    local as_root=()
    if ((EUID != 0)); then
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update && "${as_root[@]}" apt-get install --yes --no-install-recommends "$@"
}
