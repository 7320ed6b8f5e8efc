# shellcheck shell=bash
# common.sh: what build and run agree on: where the cache is and which image belongs to these sources.
#
# The cache, ${BERTH_VM_CACHE:-${XDG_CACHE_HOME:-~/.cache}/berth-vm}:
#   image-STAMP/          one guest: root.ext4, vmlinux, initrd.cpio, kernel (its version), complete
#     state-*.{qcow2,ram,state,complete}     a booted guest of one variant, to be restored
#     in-use              locked shared by each run, exclusively by whoever wants to delete the image
#   base-STAMP.tar        the Debian packages, before we configure them
#   kernel/ apt/          the kernel's package, and apt state of our own
#
# Invariants:
# I1  A directory named image-STAMP is finished: build makes it under another name and renames it.
# I2  A file is trusted only when its record (complete) agrees on size and mtime: see record_agrees.
# I3  Whoever reads an image holds its in-use lock; nobody deletes an image without it.

vm_dir=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
vm_cache=${BERTH_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/berth-vm}
vm_suite=${BERTH_VM_SUITE:-bookworm}
vm_kernel_suite=${BERTH_VM_KERNEL_SUITE:-$vm_suite}

# What the guest has: an init, the peers we compare with, the tools that tests call, and the
# libraries that berth's programs are linked with. No compiler: tests bring their programs along.
vm_packages=(
        systemd systemd-sysv dbus dbus-user-session libpam-systemd udev kmod procps netbase
        runc crun podman conmon criu containernetworking-plugins fuse-overlayfs slirp4netns passt uidmap
        apparmor selinux-policy-default policycoreutils selinux-utils
        iproute2 iputils-ping nftables iptables socat ca-certificates
        busybox-static python3 python3-pytest jq strace attr libcap2-bin bpftool
        libseccomp2 libsystemd0 libcurl4 libnghttp2-14 libprotobuf-c1 libsqlite3-0 libzstd1 libisal2
        libinih1 libncursesw6 libcmocka0 libjson-c5
)

vm_name=$(basename "$0")
vm_started=${EPOCHREALTIME/[.,]/}

say() {
        echo "$vm_name: [$(((${EPOCHREALTIME/[.,]/} - vm_started) / 1000)) ms] $*" >&2
}

stamp() {
        sha256sum | cut -c1-12
}

# The image that these sources and settings call for, finished or not.
image_dir() {
        echo "$vm_cache/image-$({
                cat "$vm_dir"/build "$vm_dir"/src/*
                echo "$vm_suite $vm_kernel_suite ${vm_packages[*]} ${BERTH_VM_DISK:-}"
        } | stamp)"
}

# record_files DIR FILE...: what a record of these files says. Sizes and times, not contents: reading
# a gigabyte before each run would cost more than the run. It finds a full disk's short file, a file
# deleted to make room and one that somebody booted read-write.
record_files() {
        (cd "$1" && shift && stat -c '%n %s %Y' -- "$@") 2>/dev/null
}

# record_agrees RECORD DIR FILE...
record_agrees() {
        local record=$1
        shift
        [ -s "$record" ] && [ "$(cat "$record")" = "$(record_files "$@")" ]
}

image_files=(root.ext4 vmlinux initrd.cpio kernel)

image_is_good() {
        record_agrees "$1/complete" "$1" "${image_files[@]}"
}

# packages_need COMMAND:PACKAGE...: install on this machine what is missing.
packages_need() {
        local pair missing=()
        for pair; do
                command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
        done
        [ ${#missing[@]} -eq 0 ] && return
        say "installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null && return
        apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
