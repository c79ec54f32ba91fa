#!/usr/bin/env bash
# What the tests need besides Python packages: Mosquitto, the module that makes venvs, systemd-analyze, a compiler for the
# benchmarks' slow disk, openssl and groff for what the pages say, what breaks things on purpose (tests/faults/ability.py); and
# programs named as arguments. Installs only what is missing.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"
missing=()
command -v mosquitto >/dev/null || missing+=(mosquitto)
"${PYTHON:-python3}" -c "import ensurepip" 2>/dev/null || missing+=(python3-venv)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v openssl >/dev/null || missing+=(openssl)
command -v groff >/dev/null || missing+=(groff-base)
command -v strace >/dev/null || missing+=(strace)
command -v ip >/dev/null || missing+=(iproute2)
command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
command -v mkfs.xfs >/dev/null || missing+=(xfsprogs)
[ -n "$(find /usr/lib -name 'libfaketime.so.1' -print -quit)" ] || missing+=(libfaketime)
[ -n "$(find /usr/lib -name 'libeatmydata.so*' -print -quit)" ] || missing+=(libeatmydata1)
for program in "$@"; do
    command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "The tests need: ${missing[*]}. Install them as root: apt-get install ${missing[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Started by the tests on free ports, never as a service.
RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
