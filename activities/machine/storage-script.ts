/**
 * Looks for objects that are kept on a machine itself. What is on the disks of its image is in its backup; what is mounted
 * from elsewhere (NFS) is not, and has to be mounted at the same place again.
 */
import { quoted, written } from '../ssm/wrapped-script.ts';
import { SAY_ALL, wholeOutput } from './step-scripts.ts';

export interface StoragePlace {
  path: string;
  state: 'missing' | 'empty' | 'on-the-machine' | 'mounted' | 'not-mounted';
  /** Of its file system: `nfs4`, `ext4`. */
  type?: string;
  /** `server:/export`, `/dev/xvdf`. */
  device?: string;
  files?: number;
  kib?: number;
}

/** Prints `<path>\t<state>\t<type>\t<device>\t<files>\t<KiB>` for each place, and `s3\t<what>` for others. */
export function storageScript(given: { paths: readonly string[]; detect?: string | undefined; dir: string }): string {
  const { paths, detect, dir } = given;
  return `set -u
mkdir -p ${quoted(dir)} || exit 97
${written(`${dir}/paths`, paths.join('\n'))}
${
  detect === undefined
    ? ''
    : `${written(`${dir}/detect`, detect)}
bash ${quoted(`${dir}/detect`)} > ${quoted(`${dir}/detected`)} || { echo "detect: exit code $?" >&2; exit 1; }
if grep -vE '^(local|s3)[[:space:]]+[^[:space:]]|^[[:space:]]*$' ${quoted(`${dir}/detected`)} >&2; then
  echo "detect: expected lines of local <path> or s3 <bucket>, got the above" >&2; exit 1
fi
sed -n 's/^local[[:space:]]\\{1,\\}//p' ${quoted(`${dir}/detected`)} >> ${quoted(`${dir}/paths`)}
sed -n 's/^s3[[:space:]]\\{1,\\}/s3\\t/p' ${quoted(`${dir}/detected`)}`
}
sort -u ${quoted(`${dir}/paths`)} | while IFS= read -r path; do
  [ -n "$path" ] || continue
  # Named in fstab and not mounted: what is seen there is the empty place under it.
  if awk -v p="$path" '$1 !~ /^#/ && $2 == p { found = 1 } END { exit !found }' /etc/fstab 2>/dev/null \\
     && ! awk -v p="$path" '$2 == p { found = 1 } END { exit !found }' /proc/self/mounts; then
    printf '%s\\tnot-mounted\\t\\t\\t0\\t0\\n' "$path"; continue
  fi
  if [ ! -d "$path" ]; then printf '%s\\tmissing\\t\\t\\t0\\t0\\n' "$path"; continue; fi
  found=$(awk -v p="$path/" '{ m = $2; if (m != "/") m = m "/"; if (index(p, m) == 1 && length(m) >= best) { best = length(m); line = $2 "\\t" $3 "\\t" $1 } } END { print line }' /proc/self/mounts)
  mount=$(printf '%s' "$found" | cut -f1); type=$(printf '%s' "$found" | cut -f2); device=$(printf '%s' "$found" | cut -f3)
  files=$(find "$path" -type f 2>/dev/null | wc -l); kib=$(du -sk "$path" 2>/dev/null | cut -f1)
  state=on-the-machine
  case "$type" in nfs*|cifs|smb*|fuse*|lustre|ceph|glusterfs|efs) state=mounted;; esac
  [ "$files" -gt 0 ] || state=empty
  printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "$path" "$state" "$type" "$device" "$files" "\${kib:-0}"
done
${SAY_ALL}
`;
}

/** What the script printed; undefined where it is not the whole of it. */
export function storageReport(stdout: string): { places: StoragePlace[]; elsewhere: string[] } | undefined {
  const whole = wholeOutput(stdout);
  if (whole === undefined) return undefined;
  const rows = whole.split('\n').map((line) => line.split('\t'));
  return {
    elsewhere: rows.flatMap(([first, what]) => (first === 's3' && what ? [what] : [])),
    places: rows.flatMap((row) => {
      const [path, state, type, device, files, kib] = row;
      if (row.length < 6 || !path?.startsWith('/')) return [];
      return [
        {
          path,
          state: state as StoragePlace['state'],
          ...(type ? { type } : {}),
          ...(device ? { device } : {}),
          files: Number(files),
          kib: Number(kib),
        },
      ];
    }),
  };
}

/** What an operator has to know of a place, or has to do. */
export function storageAdvice({ path, state, type, device, files, kib }: StoragePlace): string {
  switch (state) {
    case 'on-the-machine':
      return `${path}: ${files} files, ${kib} KiB, on the machine's own disk: in the image as of its moment; back it up apart where it must not lag`;
    case 'mounted':
      return `${path}: ${files} files from ${device ?? '?'} (${type ?? '?'}): in no image, shared with the old machine as long as that is there; back it up apart`;
    case 'not-mounted':
      return `${path}: is in /etc/fstab, and not mounted: mount it at the same place (mount ${path}), then retry`;
    case 'missing':
      return `${path}: is not there: restore it from its own backup, or mount it at the same place, then retry`;
    case 'empty':
      return `${path}: is empty: restore it from its own backup, or mount it at the same place, then retry; skip where it is meant to be empty`;
  }
}
