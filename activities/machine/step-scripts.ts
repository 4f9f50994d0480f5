/** The scripts of a restored machine's steps. */
import type { StepOf } from '../../spec/machine-steps.ts';
import { quoted, written } from '../ssm/wrapped-script.ts';

/** What is written to standard output behind the output of the command itself. */
const VERIFY_FAILED = 76;

/**
 * The last line of a script whose output is read: SSM keeps 24,000 characters (facts/redis-aws 3.6), and a list that was cut
 * off would pass for the whole one.
 */
const THAT_IS_ALL = 'cutover: that is all';

/** A line for the end of such a script. */
export const SAY_ALL = `echo ${quoted(THAT_IS_ALL)}`;

/** The lines before it; undefined where it is missing. */
export function wholeOutput(stdout: string): string | undefined {
  const text = stdout.trimEnd();
  return text.endsWith(THAT_IS_ALL) ? text.slice(0, -THAT_IS_ALL.length) : undefined;
}

/** Prints what is to be cleaned up. Its last line may have no end. */
export function listScript(listCommand: string, dir: string): string {
  return `set -u
mkdir -p ${quoted(dir)} || exit 97
${written(`${dir}/list`, listCommand)}
bash ${quoted(`${dir}/list`)} || exit $?
echo
${SAY_ALL}
`;
}

/** Runs the command, then its verification again and again until it holds or its time is over. */
export function commandScript({ run, verify, timeout }: StepOf<'command'>, dir: string): string {
  const within = Math.max(1, Math.ceil(verify.within / 1000));
  return `set -u
mkdir -p ${quoted(dir)} || exit 97
${written(`${dir}/run`, run)}
${written(`${dir}/verify`, verify.run)}
timeout -k 5 ${Math.max(1, Math.ceil(timeout / 1000))} bash ${quoted(`${dir}/run`)}
code=$?
if [ "$code" -ne 0 ]; then echo "exit code $code" >&2; exit 1; fi
end=$(( $(date +%s) + ${within} ))
while :; do
  found=$(timeout -k 5 ${within} bash ${quoted(`${dir}/verify`)} 2>&1); code=$?
  if [ "$code" -eq 0 ]${verify.expect === undefined ? '' : ` && printf '%s' "$found" | grep -qF -- ${quoted(verify.expect)}`}; then
    printf 'verified: %s\\n' "$found"; exit 0
  fi
  if [ "$(date +%s)" -ge "$end" ]; then
    printf 'not as expected${verify.expect === undefined ? '' : ' (%s)'} within ${within} s: exit code %s: %s\\n' ${verify.expect === undefined ? '' : `${quoted(verify.expect)} `}"$code" "$found" >&2
    exit ${VERIFY_FAILED}
  fi
  sleep 0.5
done
`;
}

export function verificationFailed(exitCode: number | undefined): boolean {
  return exitCode === VERIFY_FAILED;
}

/** Removes the paths and proves that they are gone. What is mounted there or beneath is another disk's, and stays. */
export function removeScript(paths: readonly string[]): string {
  return `set -u
code=0
for path in ${paths.map(quoted).join(' ')}; do
  real=$(readlink -m -- "$path")
  if awk -v p="$real" '{ if ($2 == p || index($2, p "/") == 1) found = 1 } END { exit !found }' /proc/self/mounts; then
    echo "$path: something is mounted there: unmount it first" >&2; code=4; continue
  fi
  if [ -e "$path" ] || [ -L "$path" ]; then
    rm -rf --one-file-system -- "$path" || code=5
    if [ -e "$path" ] || [ -L "$path" ]; then echo "$path: is there still" >&2; code=5; else echo "removed $path"; fi
  else
    echo "was not there: $path"
  fi
done
exit $code
`;
}

/** One item's clean-up and its verification. `$ITEM` is set. */
export function cleanUpScript({ each, verify }: StepOf<'clean-up'>, item: string, dir: string): string {
  return `set -u
mkdir -p ${quoted(dir)} || exit 97
export ITEM=${quoted(item)}
${written(`${dir}/each`, each)}
bash ${quoted(`${dir}/each`)} || exit $?
${
  verify === undefined
    ? ''
    : `${written(`${dir}/verify`, verify)}
bash ${quoted(`${dir}/verify`)} || { echo "it ran, and $ITEM is not clean" >&2; exit ${VERIFY_FAILED}; }`
}
`;
}
