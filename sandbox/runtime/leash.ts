/**
 * The leash: a small POSIX shell script that stands between us and every program the sandbox starts.
 *
 * WHY: a test, a demo or a sandbox can be SIGKILLed, and a SIGKILLed parent runs no cleanup. The leash's standard input is
 * a pipe whose only other end is in the parent, so the kernel closes it however the parent ends; the leash then ends the program
 * (TERM, a grace time, KILL) and everything it forked (redis-server's BGSAVE child, for one).
 *
 * The leash runs in a session of its own (spawned `detached`), so that
 * - Ctrl-C in the terminal reaches our process only, which can then end the programs in their right order;
 * - `kill -KILL 0` in here means exactly: the leash, the program, and its forks.
 *
 * File descriptor 3 reports `pid N` and `exit CODE`. The program and its forks inherit it and never use it: it reaches its
 * end only when all of them are gone, which a pid alone can't tell (a fork that outlives the program, a zombie nobody reaps).
 *
 * Hazards that shaped the lines:
 * - a shell gives background commands /dev/null as standard input, so the pipe is kept as descriptor 4;
 * - SIGPIPE is ignored once the program has started (an ignored signal would be inherited): with the parent gone, writing to 3
 *   must not end the leash before it has done its work;
 * - `wait` returns early when a trapped signal arrives, so it is repeated until the program has really been reaped;
 * - no `set -m`: dash refuses job control without a terminal.
 *
 * Out of reach: a program that leaves the session itself (daemonises). Nothing that the sandbox starts does.
 */
export const LEASH_SCRIPT = `
grace=$1; shift
exec 4<&0
"$@" </dev/null 4<&- &
child=$!
trap '' PIPE
trap 'kill -TERM $child 2>/dev/null' TERM INT HUP
(
  trap '' TERM INT HUP
  while read -r _; do :; done
  kill -TERM $child
  n=0
  while [ $n -lt $((grace * 10)) ] && kill -0 $child; do sleep 0.1; n=$((n + 1)); done
  kill -KILL 0
) <&4 3>&- >/dev/null 2>&1 &
exec 4<&-
echo "pid $child" >&3
while :; do
  wait $child
  code=$?
  kill -0 $child 2>/dev/null || break
done
echo "exit $code" >&3
kill -KILL 0
`;
