/** Whether the copy keeps up with what the application writes meanwhile (facts/redis-aws 4.1 S10, 4.3). */
import prettyBytes from 'pretty-bytes';
import { CannotCheck, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { redisCli } from './commands.ts';
import type { RedisOnlineCheck, RedisOnlineContext } from './context.ts';
import { infoNumber, type WriteRate } from './probe.ts';
import { fullSyncSeconds, judgeBuffer, replicaBufferLimit } from './replica-buffer.ts';
import { atLeast } from './versions.ts';

const cli = ({ source }: RedisOnlineContext, ...command: string[]) => redisCli(source.endpoint, ...command);
const bytes = (n: number) => prettyBytes(n, { binary: true, maximumFractionDigits: 1 });

/** Above this use of a limit the estimate is too rough to call it safe. */
const TIGHT = 0.5;
/** A broken link is noticed after repl-timeout; what is written until then must fit the backlog, or all is copied anew. */
const OUTAGE_SECONDS = 60;
const SHORT_TIMEOUT_SECONDS = 30;

export const rateChecks: readonly RedisOnlineCheck[] = [
  {
    id: 'S10',
    title: "the source's replica buffer holds what is written during the copy",
    severity: 'fail',
    remedy: (c) => cli(c, 'CONFIG', 'SET', 'client-output-buffer-limit', 'replica 0 0 0'),
    byHand: (c) =>
      `${cli(c, 'CONFIG', 'GET', 'client-output-buffer-limit')}  # the hard limit of slave: above write rate x seconds of the copy`,
    run: checkBuffer,
  },
  {
    id: 'S10.backlog',
    title: 'the replication backlog bridges a short outage',
    severity: 'warn',
    remedy: (c) => cli(c, 'CONFIG', 'SET', 'repl-backlog-size', '<write rate x 60 s>'),
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'repl-backlog-size')}  # at least write rate x ${OUTAGE_SECONDS} s`,
    run: async (c) => {
      const [size, rate] = await Promise.all([c.source.setting('repl-backlog-size'), c.source.writeRate()]);
      if (size === undefined) throw new CannotCheck('the source does not say its repl-backlog-size');
      const needed = Math.ceil(rate.bytesPerSecond * OUTAGE_SECONDS);
      const found = `${bytes(Number(size))}, ${told(rate)}`;
      return Number(size) >= needed
        ? pass(found)
        : unmet(
            `${found}: it bridges ${(Number(size) / rate.bytesPerSecond).toFixed(1)} s, then everything is copied anew`,
            cli(c, 'CONFIG', 'SET', 'repl-backlog-size', String(needed)),
          );
    },
  },
  {
    id: 'S10.timeout',
    title: 'repl-timeout is longer than a replica may be silent',
    severity: 'warn',
    remedy: (c) => cli(c, 'CONFIG', 'SET', 'repl-timeout', '60'),
    byHand: (c) => `${cli(c, 'CONFIG', 'GET', 'repl-timeout')}  # 60, above repl-ping-replica-period`,
    run: async (c) => {
      const [timeout, newName, oldName] = await Promise.all([
        c.source.setting('repl-timeout'),
        c.source.setting('repl-ping-replica-period'),
        c.source.setting('repl-ping-slave-period'),
      ]);
      if (timeout === undefined) throw new CannotCheck('the source does not say its repl-timeout');
      const ping = Number(newName ?? oldName ?? 10);
      const found = `repl-timeout ${timeout} s, a ping every ${ping} s`;
      if (Number(timeout) <= ping) return unmet(`${found}: an idle link would be cut again and again`);
      return Number(timeout) < SHORT_TIMEOUT_SECONDS ? unmet(`${found}: a slow load would be cut`) : pass(found);
    },
  },
];

async function checkBuffer(c: RedisOnlineContext): Promise<Finding> {
  const [setting, diskless, backlog, info, rate, version] = await Promise.all([
    c.source.setting('client-output-buffer-limit'),
    c.source.setting('repl-diskless-sync'),
    c.source.setting('repl-backlog-size'),
    c.source.info(),
    c.source.writeRate(),
    c.source.version(),
  ]);
  const limit = replicaBufferLimit(setting ?? '');
  if (!limit) throw new CannotCheck(`client-output-buffer-limit is "${setting ?? ''}"`);
  const seconds = fullSyncSeconds({
    usedMemory: infoNumber(info, 'used_memory'),
    lastSaveSeconds: Math.max(0, infoNumber(info, 'rdb_last_bgsave_time_sec')),
    diskless: diskless === 'yes',
  });
  const verdict = judgeBuffer(limit, rate.bytesPerSecond, seconds, atLeast(version, 7) ? Number(backlog ?? 0) : 0);
  const found = `${told(rate)}: about ${bytes(verdict.piledUp)} pile up during a copy of about ${Math.ceil(seconds)} s`;
  const shown = `limit ${limit.hard} ${limit.soft} ${limit.softSeconds}`;
  // The name `replica` came with Redis 5.
  const lift = cli(
    c,
    'CONFIG',
    'SET',
    'client-output-buffer-limit',
    `${atLeast(version, 5) ? 'replica' : 'slave'} 0 0 0`,
  );
  const remedy = `${lift}  # needs memory for it; put back afterwards: ${limit.hard} ${limit.soft} ${limit.softSeconds}; or fixFullResyncLoop: true in the file`;
  if (verdict.cutOff) {
    const loop = `${found}, and ${verdict.cutOff}: the copy would restart for ever (${shown})`;
    return c.migration.fixFullResyncLoop
      ? warn(`${loop}; fixFullResyncLoop in the file lifts it when it happens`, remedy)
      : unmet(loop, remedy);
  }
  return verdict.use > TIGHT
    ? warn(`${found}, ${Math.round(verdict.use * 100)} % of the ${shown}`, remedy)
    : pass(`${found}; ${shown}`);
}

function told(rate: WriteRate): string {
  const amount = `${bytes(rate.bytesPerSecond)}/s`;
  return rate.exact
    ? `the application writes ${amount}`
    : `clients send at most ${amount} (no backlog yet to measure writes by)`;
}
