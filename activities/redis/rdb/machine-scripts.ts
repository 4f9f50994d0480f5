/**
 * What the source's machine is told. It needs a POSIX shell, coreutils and curl, and no credentials. Read by sh, as SSM
 * runs it; each may run twice.
 */
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import type { RdbMark } from '../../../spec/redis-rdb.ts';
import { HEADER_BYTES } from './header.ts';
import { MACHINE_DIR, quoted } from '../../ssm/wrapped-script.ts';

/** Of the header that goes into the command's output; SSM keeps 24,000 characters. */
const HEAD = HEADER_BYTES;

/** How many parts are uploaded side by side. */
const AT_ONCE = 4;

const hash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 12);

/** A second name of the file, in its own directory: the next save gives the first one to another file. */
export function linkOf(path: string, run: string, mark: RdbMark): string {
  return posix.join(posix.dirname(path), `.cutover-${hash(run)}-${hash(`${mark.server} ${mark.second}`)}.rdb`);
}

/** Exit codes with a meaning of their own. */
export const EXIT = { missing: 11, noLink: 12, noCurl: 13, failed: 14 } as const;

/** Links the file, and tells what it is. */
export function describeScript(path: string, link: string): string {
  return `set -u
export LC_ALL=C
command -v curl >/dev/null || { echo 'curl is not installed' >&2; exit ${EXIT.noCurl}; }
file=${quoted(path)}
link=${quoted(link)}
if [ ! -e "$link" ]; then
  [ -f "$file" ] || { echo "there is no $file" >&2; exit ${EXIT.missing}; }
  ln "$file" "$link" || [ -e "$link" ] || exit ${EXIT.noLink}
fi
echo "bytes $(wc -c < "$link" | tr -d ' ')"
echo "sha256 $(sha256sum < "$link" | cut -d ' ' -f 1)"
echo "head $(head -c ${HEAD} "$link" | base64 | tr -d '\\n')"
`;
}

export interface Described {
  bytes: number;
  sha256: string;
  head: Buffer;
}

/** Undefined where the output is not what the script prints. */
export function described(stdout: string): Described | undefined {
  const bytes = /^bytes (\d+)$/m.exec(stdout)?.[1];
  const sha256 = /^sha256 ([0-9a-f]{64})$/m.exec(stdout)?.[1];
  const head = /^head ([A-Za-z0-9+/=]+)$/m.exec(stdout)?.[1];
  if (bytes === undefined || sha256 === undefined || head === undefined) return undefined;
  return { bytes: Number(bytes), sha256, head: Buffer.from(head, 'base64') };
}

export interface PartOfFile {
  number: number;
  offset: number;
  bytes: number;
  /** Appended to `base` it is the address. */
  suffix: string;
}

/**
 * Uploads parts. The addresses stand in files that root alone may read, and on no command line: they are as good as a
 * password, if only for these parts and for a while.
 */
export function uploadScript(link: string, base: string, parts: readonly PartOfFile[]): string {
  const dir = `${MACHINE_DIR}/rdb-${hash(`${link} ${parts[0]?.suffix ?? ''}`)}`;
  const calls = parts.map(
    ({ number, offset, bytes, suffix }) => `part ${number} ${offset + 1} ${bytes} ${quoted(suffix)}`,
  );
  const groups: string[] = [];
  for (let first = 0; first < calls.length; first += AT_ONCE) {
    groups.push(...calls.slice(first, first + AT_ONCE).map((call) => `${call} & pids="$pids $!"`), 'ended');
  }
  return `set -u
umask 077
dir=${quoted(dir)}
link=${quoted(link)}
base=${quoted(base)}
pids=
mkdir -p "$dir" || exit ${EXIT.failed}
trap 'rm -rf "$dir"' EXIT
part() {
  printf 'url = "%s%s"\\n' "$base" "$4" > "$dir/$1" || return 1
  tail -c "+$2" "$link" | head -c "$3" | curl --silent --show-error --fail --request PUT --data-binary @- \\
    --header 'Content-Type: application/octet-stream' --header 'Expect:' --connect-timeout 20 --max-time 900 \\
    --retry 3 --output /dev/null --config "$dir/$1" || { echo "part $1 failed" >&2; return 1; }
}
ended() {
  for pid in $pids; do wait "$pid" || { wait; exit ${EXIT.failed}; }; done
  pids=
}
${groups.join('\n')}
`;
}

/** Removes every second name that a run gave. */
export function unlinkScript(path: string, run: string): string {
  return `rm -f -- ${quoted(`${posix.dirname(path)}/.cutover-${hash(run)}-`)}*.rdb`;
}
