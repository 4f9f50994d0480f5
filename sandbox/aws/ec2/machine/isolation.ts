/**
 * How a machine is kept apart from the host. A command in a machine may be `rm -rf /`: it must never reach the host's files.
 *
 * Two steps, because one is not enough:
 * 1. In namespaces of its own (mounts, processes, host name) the machine's folder becomes `/`, with the host's programs
 *    mounted in it read-only, and the host's tree is unmounted: not merely hidden as by chroot, which root can leave.
 * 2. The machine itself runs in a further user namespace with a copy of those mounts. The kernel locks mounts that come from
 *    a more privileged namespace: so the root in there cannot make `/usr` writable again, make device nodes, or unmount.
 *
 * The network stays the host's: a machine's app is reached at the machine's own address in 127.0.0.0/8.
 *
 * Where the host does not allow one of these steps, the script ends before any file of the machine was run. There is no
 * weaker way that is taken instead.
 */
export const SETUP_SCRIPT = `
set -eu
root=$1 name=$2 run=$3; shift 3
fail() { echo "machine: $*" >&2; exit 97; }
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mkdir -p "$run/local"
# What we are about to mount on must not lead out of the machine: it is made of files that others wrote.
inside() { case "$(realpath -m "$1")/" in "$root"/*) ;; *) fail "$1 leads out of the machine's folder" ;; esac; }
readonly_again() {
  options=$(findmnt -nro VFS-OPTIONS --mountpoint "$(realpath "$1")" | tail -n 1)
  mount -o "remount,bind,ro,$(printf %s "$options" | sed -E 's/(^|,)rw(,|$)/\\1ro\\2/')" "$1"
}
while [ $# -gt 0 ]; do
  inside ".$2"; mkdir -p ".$2"; mount --bind "$1" ".$2"; shift 2
done
for dir in usr usr/local etc etc/alternatives proc dev run tmp root var; do
  inside "$dir"; mkdir -p "$dir"
done
chmod 1777 tmp
mount --bind usr/local "$run/local"
for dir in usr bin sbin lib lib32 lib64 libx32 etc/alternatives; do
  if [ -L "/$dir" ]; then
    [ -L "$dir" ] || [ -e "$dir" ] || ln -s "$(readlink "/$dir")" "$dir"
  elif [ -d "/$dir" ]; then
    inside "$dir"; mkdir -p "$dir"; mount --bind "/$dir" "$dir"; readonly_again "$dir"
  fi
done
mount --bind "$run/local" usr/local
umount "$run/local"
mount -t proc proc proc
for path in sys sysrq-trigger irq bus fs acpi asound driver scsi; do
  [ -e "proc/$path" ] || continue
  mount --bind "proc/$path" "proc/$path"; readonly_again "proc/$path"
done
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm
# Read-only: they are the host's own nodes, which a chmod -R in here would change; writing to them is still possible.
for device in null zero full random urandom; do
  : > "dev/$device"; mount --bind "/dev/$device" "dev/$device"; readonly_again "dev/$device"
done
ln -s /proc/self/fd dev/fd; ln -s /proc/self/fd/0 dev/stdin; ln -s /proc/self/fd/1 dev/stdout; ln -s /proc/self/fd/2 dev/stderr
mount --bind "$run" run
hostname "$name"
mkdir -p .host
pivot_root . .host
cd /
umount -l /.host
rmdir /.host
# Only now: one of these may be a link that would have led to the host's file.
[ -e /etc/passwd ] || [ -L /etc/passwd ] || echo 'root:x:0:0:root:/root:/bin/bash' > /etc/passwd
[ -e /etc/group ] || [ -L /etc/group ] || echo 'root:x:0:' > /etc/group
[ -e /etc/hosts ] || [ -L /etc/hosts ] || echo '127.0.0.1 localhost' > /etc/hosts
exec unshare --user --map-root-user --mount -- /usr/bin/perl /run/init.pl
`;
