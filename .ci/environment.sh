# Sourced by ./quickstart and ./check: what both need on a machine, and how both speak.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\n\033[1m== %s\033[0m\n' "$*" >&2; }
note() { printf '   %s\n' "$*" >&2; }
# What is missing, why it is needed, how to get it.
missing() { printf '\nCannot go on: %s\n' "$*" >&2; exit 1; }

# Installs Debian packages, where that can be done without asking.
debian() {
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        note "installing $*"
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >/dev/null
    elif command -v apt-get >/dev/null && command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        note "installing $* (sudo)"
        { sudo apt-get update && sudo apt-get install -y --no-install-recommends "$@"; } >/dev/null
    else
        missing "$* must be installed: sudo apt-get install $*"
    fi
}

need_rust() {
    # rustup's place, for shells that have not been started anew since.
    [ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
    command -v cargo >/dev/null || missing "cargo is not there. forge is built by Rust 1.95 or newer: https://rustup.rs"
    command -v cc >/dev/null || debian gcc libc6-dev
    # The versions in the lock file want no older compiler than the one in Cargo.toml.
    local have want
    have=$(cargo --version | cut -d' ' -f2)
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    [ "$(printf '%s\n' "$want" "$have" | sort -V | head -1)" = "$want" ] ||
        missing "cargo is $have; forge needs Rust $want or newer: rustup update"
}

# A virtual environment with JAX for CPUs in .venv, made anew when the requirements change.
need_jax() {
    command -v python3 >/dev/null || debian python3 python3-venv
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        missing "python3 is $(python3 --version); JAX needs 3.11 or newer"
    local requirements="$root/examples/quickstart/requirements.txt" stamp="$root/.venv/.requirements"
    cmp -s "$requirements" "$stamp" && return
    python3 -c 'import ensurepip' 2>/dev/null || debian python3-venv
    note "JAX for CPUs into .venv (about 90 MB to fetch)"
    rm -rf "$root/.venv"
    python3 -m venv "$root/.venv"
    "$root/.venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$stamp"
}

# What the tests of the JSON Schema judge it with, in .venv too.
need_validator() {
    local requirements="$root/tests/editor/requirements.txt" stamp="$root/.venv/.validator"
    cmp -s "$requirements" "$stamp" && return
    note "a YAML reader and a JSON Schema validator into .venv"
    "$root/.venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$stamp"
}

# The emulated AWS of the tests, in .venv too.
need_emulator() {
    local requirements="$root/tests/emulator/requirements.txt" stamp="$root/.venv/.emulator"
    cmp -s "$requirements" "$stamp" && return
    note "an emulated AWS into .venv"
    "$root/.venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$stamp"
}
