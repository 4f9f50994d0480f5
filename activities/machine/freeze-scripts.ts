/**
 * The scripts that freeze a machine and thaw it again. A frozen file system of production with nobody to thaw it is the
 * worst that a backup can do, so the machine is given its own way out before it is frozen: a guard in the background
 * that thaws it after a time, whatever became of us.
 *
 * All of their state lies in memory (/run): what is frozen may be the disk. Every hand-over is under a lock:
 * - a command of `before` is begun only while nobody thaws, so nothing freezes behind a thaw's back;
 * - one thaw at a time, and one that ended well is the last;
 * - one freeze at a time on the machine, whatever run or migration it is of: the `after` of another one would let go
 *   under a backup that takes itself to be held.
 */
import type { MachineCommand } from '../../spec/machine.ts';
import { MACHINE_DIR, quoted, written } from '../ssm/wrapped-script.ts';

export interface FreezePlan {
  /** Of this freeze alone: the run and the try. */
  key: string;
  before: MachineCommand[];
  after: MachineCommand[];
  /** From the freeze's start until the machine thaws itself, ms. */
  guardMs: number;
}

const GUARD_TRIES = 20;
const GUARD_PAUSE_S = 5;
/** From a polite end of what hangs to the other one, s. */
const GRACE_S = 5;

/** Another freeze holds the machine. No command of the file's ends a script with it. */
export const HELD_BY_ANOTHER = 74;
/** Names the directory of the freeze that holds the machine, or held it last. */
export const OWNER_FILE = `${MACHINE_DIR}/frozen-by`;

const seconds = (ms: number) => Math.max(1, Math.ceil(ms / 1000));
const dirOf = ({ key }: FreezePlan) => `${MACHINE_DIR}/${key}-freeze`;

/**
 * Freezes: starts the guard, then runs `before` in order. Ends with 75 where it was thawed meanwhile, and with
 * HELD_BY_ANOTHER, with nothing begun, where another freeze holds the machine.
 */
export function freezeScript(plan: FreezePlan): string {
  const dir = dirOf(plan);
  return `set -u
d=${quoted(dir)}
mkdir -p "$d" || exit 97
cd /
${plan.before.map(({ run }, index) => written(`${dir}/before-${index}`, run)).join('\n')}
${plan.after.length === 0 ? ifFree('') : guard(plan)}
exec 8>"$d/lock"
${plan.before.map((command, index) => oneBefore(command, index)).join('\n')}
echo "frozen"
`;
}

/**
 * What is done under the lock of the whole machine, if no other freeze holds it. The lock is closed before anything is
 * started that would inherit it. A freeze holds from its `begun` to its `thawed`, so one whose `after` fails does too.
 */
function ifFree(then: string): string {
  return `exec 6>${quoted(`${MACHINE_DIR}/freeze.lock`)} || exit 97
flock 6 || exit 97
owner=$(cat ${quoted(OWNER_FILE)} 2>/dev/null)
if [ -n "$owner" ] && [ "$owner" != "$d" ] && [ -e "$owner/begun" ] && [ ! -e "$owner/thawed" ]; then
  echo "another backup holds this machine: $owner" >&2; exit ${HELD_BY_ANOTHER}
fi
${then}exec 6>&-`;
}

/** `begun` under the same lock: in between another one would find the machine free. */
const claim = () => ifFree(`echo "$d" > ${quoted(OWNER_FILE)} || exit 97\n: > "$d/begun" || exit 97\n`);

function guard(plan: FreezePlan): string {
  const dir = dirOf(plan);
  // begun is written under the lock, and before the guard: a thaw that was quicker finds nothing begun, and forbids it.
  return `${written(`${dir}/thaw`, thawBody(plan))}
exec 8>"$d/lock"
flock 8
if [ -e "$d/thawing" ]; then echo "thawed before it was frozen" >&2; exit 75; fi
if [ ! -e "$d/begun" ]; then
${claim()}
  setsid bash -c ${quoted(
    `sleep ${seconds(plan.guardMs)}; for i in $(seq ${GUARD_TRIES}); do bash ${dir}/thaw guard && exit 0; sleep ${GUARD_PAUSE_S}; done`,
  )} </dev/null >"$d/guard.log" 2>&1 8>&- &
fi
flock -u 8`;
}

function oneBefore({ name, timeout }: MachineCommand, index: number): string {
  return `flock 8
if [ -e "$d/thawing" ]; then echo ${quoted(`${name}: not begun, it is being thawed`)} >&2; exit 75; fi
timeout -k ${GRACE_S} ${seconds(timeout)} bash "$d/before-${index}" 8>&- &
current=$!
echo "$current $(cut -d ' ' -f 22 "/proc/$current/stat" 2>/dev/null)" > "$d/current"
flock -u 8
wait "$current"
code=$?
: > "$d/current"
if [ "$code" -ne 0 ]; then
  if [ "$code" -eq 124 ]; then echo ${quoted(`${name}: not done within ${seconds(timeout)} s`)} >&2
  else echo ${quoted(`${name}: exit code`)} "$code" >&2; fi
  exit 1
fi
if [ -e "$d/thawing" ]; then exit 75; fi`;
}

/**
 * Thaws, unless it is thawed already, and prints `thawed by: asked`, `thawed by: guard`, or `thawed by: restart` where the machine
 * has forgotten the freeze. Ends with HELD_BY_ANOTHER, with nothing done, where it has, and another freeze holds it now.
 * @param known The freeze is known to have begun, so `after` is run even where the machine knows nothing of it.
 */
export function thawScript(plan: FreezePlan, known: boolean): string {
  const dir = dirOf(plan);
  return `set -u
mkdir -p ${quoted(dir)} || exit 97
${written(`${dir}/thaw-asked`, thawBody(plan))}
bash ${quoted(`${dir}/thaw-asked`)} ${known ? 'known' : 'asked'}
`;
}

function thawBody(plan: FreezePlan): string {
  const dir = dirOf(plan);
  return `set -u
how=$1
d=${quoted(dir)}
cd /
exec 7>"$d/thaw.lock"
flock 7
if [ -e "$d/thawed" ]; then echo "thawed by: $(cat "$d/thawing")"; exit 0; fi
exec 8>"$d/lock"
flock 8
by=asked
[ "$how" != guard ] || by=guard
# It was frozen, and knows nothing of it: /run is empty after a restart, and what was held was let go by that.
if [ "$how" = known ] && [ ! -e "$d/begun" ]; then by=restart; fi
[ -e "$d/thawing" ] || echo "$by" > "$d/thawing"
current= since=
[ ! -s "$d/current" ] || read -r current since < "$d/current"
flock -u 8
if [ ! -e "$d/begun" ] && [ "$how" = asked ]; then echo "thawed by: nobody, it was never begun"; exit 0; fi
# After a restart another freeze may hold the machine by now: it is not to be let go by our after.
if [ "$by" = restart ]; then
${claim()}
fi
# Where before was killed its number stays here, and may be another's by now: that one was not started at that time.
if [ -n "$since" ] && [ "$(cut -d ' ' -f 22 "/proc/$current/stat" 2>/dev/null)" = "$since" ] && kill -TERM "$current" 2>/dev/null; then
  for i in $(seq ${GRACE_S * 10}); do kill -0 "$current" 2>/dev/null || break; sleep 0.1; done
  kill -KILL -- "-$current" 2>/dev/null
fi
failed=0
${plan.after.map((command, index) => oneAfter(dir, command, index)).join('\n')}
[ "$failed" -eq 0 ] || exit 1
: > "$d/thawed"
echo "thawed by: $(cat "$d/thawing")"
`;
}

/** A failure of one does not keep the others from being run. */
function oneAfter(dir: string, { name, run, timeout }: MachineCommand, index: number): string {
  return `${written(`${dir}/after-${index}`, run)}
timeout -k ${GRACE_S} ${seconds(timeout)} bash ${quoted(`${dir}/after-${index}`)} </dev/null 7>&- 8>&-
code=$?
if [ "$code" -ne 0 ]; then echo ${quoted(`${name}: exit code`)} "$code" >&2; failed=1; fi`;
}
