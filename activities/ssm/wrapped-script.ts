/** The scripts that are sent to machines. */
import { createHash } from 'node:crypto';

/** A text as one word of a shell's. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Where a machine keeps what it needs to know about our commands; in memory, on every Linux with systemd. */
export const MACHINE_DIR = '/run/cutover';

/**
 * Lines that put `text` into a file, readable in SSM's console and in its log. They end the script with 97 where the disk
 * is full: half a script may well end with 0.
 */
export function written(path: string, text: string): string {
  const end = `CUTOVER_${createHash('sha256').update(text).digest('hex').slice(0, 12)}`;
  return `cat > ${quoted(path)} <<'${end}' || exit 97\n${text.replace(/\n?$/, '\n')}${end}`;
}

/**
 * The script so that it does its work once, however often it is sent: SendCommand has no client token (facts 3.6), so a
 * call whose answer was lost may be sent again while the first is under way. The second waits for the first and answers
 * what that one did. A script that was ended in the middle runs again.
 *
 * It is read by sh, as SSM runs it; the script itself is run by bash. What it leaves running in the background writes
 * into a file, and holds no pipe of SSM's open.
 */
export function runOnce(key: string, script: string): string {
  const dir = `${MACHINE_DIR}/${key}`;
  return `set -u
umask 077
mkdir -p ${quoted(dir)} || exit 97
exec 9>${quoted(`${dir}/lock`)}
flock 9 || exit 97
if [ ! -s ${quoted(`${dir}/exit`)} ]; then
${written(`${dir}/script`, script)}
bash ${quoted(`${dir}/script`)} >${quoted(`${dir}/stdout`)} 2>${quoted(`${dir}/stderr`)} </dev/null 9>&-
code=$?
echo "$code" > ${quoted(`${dir}/exit.new`)}
mv ${quoted(`${dir}/exit.new`)} ${quoted(`${dir}/exit`)}
fi
cat ${quoted(`${dir}/stdout`)}
cat ${quoted(`${dir}/stderr`)} >&2
exit "$(cat ${quoted(`${dir}/exit`)})"
`;
}
