# What the lab and the tests need on a fresh Debian or Ubuntu machine. To be sourced, with `root` set to the repository:
#
#   need_packages [bird] [frr] [keepalived] [cc] …    what the namespaces need, and these; by apt, only what is missing
#   need_uv                                             sets $uv; installed into .envs/uv if there is none
#   need_project                                        .venv, from uv.lock
#   need_exabgp 4|5|4.2.21|5.0.8                        .envs/exabgp4, .envs/exabgp5 …, from uv.lock
#   need_group GROUP PROGRAM                            .envs/GROUP with that program, from uv.lock
#
# All of them are quick when there is nothing to do, print to stderr only, and end the calling shell if they fail.
# shellcheck shell=bash disable=SC2154,SC2016

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 2; }

# Finds a program also where users have no PATH to.
have() { PATH="$PATH:/usr/sbin:/sbin:/usr/lib/frr" command -v "$1" >/dev/null 2>&1; }

need_packages() {
    local missing=() pair wanted="nsenter:util-linux setpriv:util-linux ip:iproute2 nft:nftables"
    local name
    for name in "$@"; do
        case $name in
            bird) wanted+=" bird:bird2" ;;
            frr) wanted+=" bgpd:frr" ;;
            ping) wanted+=" ping:iputils-ping" ;;
            cc) wanted+=" cc:gcc cc:libc6-dev" ;;
            promtool) wanted+=" promtool:prometheus" ;;
            groff) wanted+=" groff:groff-base" ;;
            mkfs.ext4) wanted+=" mkfs.ext4:e2fsprogs" ;;
            *) wanted+=" $name:$name" ;;
        esac
    done
    for pair in $wanted; do
        have "${pair%%:*}" || missing+=("${pair##*:}")
    done
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# Debian starts a daemon when its package is installed. The lab starts its own, in its namespaces; the system's would only be in the
# way of the user, who did not ask for it. policy-rc.d (invoke-rc.d(8)) forbids the start, and the services are left disabled.
install_packages() {
    have apt-get || fail "missing: $*; this is no Debian or Ubuntu: please install them"
    say "installing: $*"
    local policy=/usr/sbin/policy-rc.d
    as_root sh -c '
        policy=$1; shift
        if [ ! -e "$policy" ]; then
            trap "rm -f \"$policy\"" EXIT
            printf "#!/bin/sh\nexit 101\n" > "$policy" && chmod 755 "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        { apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }; } >&2 || exit
        if [ -d /run/systemd/system ]; then
            for package in "$@"; do
                case $package in
                    bird2) systemctl disable bird ;;
                    frr|keepalived|prometheus) systemctl disable "$package" ;;
                esac
            done >&2
        fi
    ' sh "$policy" "$@" || fail "could not install: $*"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "missing packages, and neither root nor sudo to install them"
    fi
}

need_uv() {
    local place
    for place in "$(command -v uv)" "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv" "$root/.envs/uv/bin/uv"; do
        if [ -n "$place" ] && "$place" --version >/dev/null 2>&1; then
            uv=$place
            return
        fi
    done
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    say "installing uv into .envs/uv"
    { python3 -m venv "$root/.envs/uv" && "$root/.envs/uv/bin/pip" install --quiet uv >&2; } || fail "could not install uv"
    uv=$root/.envs/uv/bin/uv
}

# An environment is fresh if it was made after the files that say what belongs into it; then uv is not even asked.
fresh() { [ -x "$1" ] && [ "$2" -nt "$root/uv.lock" ] && [ "$2" -nt "$root/pyproject.toml" ]; }

need_project() {
    local stamp=$root/.venv/.synced-for-lab
    fresh "$root/.venv/bin/exavrrp" "$stamp" && return
    need_uv
    "$uv" sync --project "$root" --frozen --quiet --compile-bytecode >&2 || fail "uv sync failed"
    touch "$stamp"
}

need_exabgp() { need_group "exabgp$1" exabgp; }

# The program that a group of dependencies is for, in an environment of its own, .envs/GROUP.
need_group() {
    local environment=$root/.envs/$1
    local stamp=$environment/.synced-for-lab
    fresh "$environment/bin/$2" "$stamp" && return
    need_uv
    UV_PROJECT_ENVIRONMENT=$environment "$uv" sync --project "$root" --frozen --quiet --compile-bytecode --only-group "$1" >&2 ||
        fail "could not install $2"
    touch "$stamp"
}
