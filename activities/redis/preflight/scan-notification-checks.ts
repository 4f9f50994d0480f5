/** Whether every change of the source is heard: what is not would be lost in silence. */
import { setTimeout as delay } from 'node:timers/promises';
import { CannotCheck, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { connectRedis } from '../connect.ts';
import { completed, missingFlags } from '../copy/notifications.ts';
import { checkOutputBuffer } from '../copy/obstacles.ts';
import { CopyError } from '../copy/types.ts';
import { parseInfo } from '../replication.ts';
import { redisCli } from './commands.ts';
import { userOf } from './context.ts';
import { refusedCommands, ruleFor } from './permissions.ts';
import { infoNumber, type RedisProbe } from './probe.ts';
import type { ScanCheck, ScanContext, ScanNode } from './scan-context.ts';
import { everyPrimary } from './scan-nodes.ts';

const SETTING = 'notify-keyspace-events';
/** As the subscription asks for it. An ACL must name this very pattern: one that covers it is not enough. */
const PATTERN = '__keyspace@*__:*';
const HEARD_WITHIN_MS = 5_000;

export const notificationChecks: readonly ScanCheck[] = [
  everyPrimary('source', {
    id: 'N.events',
    title: 'the source notifies of every change',
    severity: 'fail',
    cheap: true,
    remedy: ({ endpoint }) => redisCli(endpoint, 'CONFIG', 'SET', SETTING, 'KA'),
    byHand: ({ endpoint }) => `${redisCli(endpoint, 'CONFIG', 'GET', SETTING)}  # K and A, or K and g$lshzxet`,
    run: checkEvents,
  }),
  everyPrimary('source', {
    id: 'N.channels',
    title: 'our user hears what is published on the channels of keys',
    severity: 'fail',
    remedy: ({ endpoint }) => channelRule(endpoint, 'channel'),
    byHand: ({ endpoint }) => redisCli(endpoint, 'PSUBSCRIBE', PATTERN),
    run: checkChannels,
  }),
  everyPrimary('source', {
    id: 'N.buffer',
    title: 'a busy moment does not cut the subscription off',
    severity: 'fail',
    remedy: ({ endpoint }) =>
      redisCli(endpoint, 'CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 268435456 67108864 60'),
    byHand: ({ endpoint }) =>
      `${redisCli(endpoint, 'CONFIG', 'GET', 'client-output-buffer-limit')}  # pubsub: two seconds of events`,
    run: async ({ probe }) => {
      const [setting, info] = await Promise.all([probe.setting('client-output-buffer-limit'), probe.info()]);
      const operations = infoNumber(info, 'instantaneous_ops_per_sec');
      try {
        await checkOutputBuffer({ name: probe.where }, await probe.connection(), operations);
      } catch (error) {
        if (!(error instanceof CopyError)) throw error;
        return unmet(error.message.replace(/^copy: /, ''));
      }
      return pass(`${/pubsub [\d ]*\d/.exec(setting ?? '')?.[0] ?? 'no limit'}, at ${operations} operations/s`);
    },
  }),
];

/** A user who has all channels can't be given a pattern: the server refuses the rule. */
const channelRule = (endpoint: RedisProbe['endpoint'], said: string) =>
  redisCli(
    endpoint,
    'ACL',
    'SETUSER',
    userOf(endpoint),
    '+psubscribe',
    '+publish',
    ...(/channel/i.test(said) ? [`&${PATTERN}`] : []),
  );

async function checkEvents({ probe }: ScanNode, c: ScanContext): Promise<Finding> {
  const { endpoint } = probe;
  const user = userOf(endpoint);
  const grant = redisCli(endpoint, 'ACL', 'SETUSER', user, '+config|get', '+config|set');
  const byFile = c.migration.notifications === 'switch-on' && c.moment === 'before-attach';
  const read = await probe.setting(SETTING).then(
    (setting) => ({ setting }),
    (error: unknown) => ({ error }),
  );
  if ('error' in read) {
    const said = read.error instanceof Error ? read.error.message : String(read.error);
    if (!/NOPERM|unknown command/i.test(said)) throw read.error;
    return byFile ? unmet(`they can't be switched on: ${said}`, grant) : blind(probe, said, grant);
  }
  if (read.setting === undefined) throw new CannotCheck(`${probe.where} has no ${SETTING}`);
  const { setting } = read;
  const modules = parseInfo(String(await probe.call('INFO', 'everything')))['module'] !== undefined;
  const missing = missingFlags(setting, modules);
  if (missing === '') return pass(`${SETTING} is "${setting}"`);
  const wanted = completed(setting, modules);
  const found = `${SETTING} of ${probe.where} is "${setting}", "${missing}" is missing`;
  if (!byFile) {
    const command = redisCli(endpoint, 'CONFIG', 'SET', SETTING, wanted);
    return unmet(`${found}: what is changed during the copy would be lost in silence`, command);
  }
  const refused = await refusedCommands(probe, user, [['CONFIG', 'SET', SETTING, wanted]]);
  return refused.length === 0
    ? pass(`${found}; it is set to "${wanted}" at the attach, and put back at the end`)
    : unmet(
        `${found}, and the user ${user} may not ${refused.join(', ')}`,
        redisCli(endpoint, 'ACL', 'SETUSER', user, ...refused.map(ruleFor)),
      );
}

/** CONFIG is refused: the copy tries one command of each class before it reads a key. Evictions can't be tried. */
async function blind(probe: RedisProbe, said: string, grant: string): Promise<Finding> {
  const info = await probe.info();
  if (info['maxmemory_policy'] !== 'noeviction' && infoNumber(info, 'maxmemory') > 0) {
    return unmet(
      `${said}; and it evicts keys (${info['maxmemory_policy']}): whether it notifies of that can't be known`,
      grant,
    );
  }
  return warn(
    `${said}; the copy tries one command of each class out before it reads a key, and ends where one is not heard`,
    grant,
  );
}

/** Subscribes, and sends itself a message: a proxy in between may let commands through and no messages. */
async function checkChannels({ probe }: ScanNode, c: ScanContext): Promise<Finding> {
  await probe.info();
  const user = userOf(probe.endpoint);
  const ear = await connectRedis(probe.endpoint, { name: `cutover:${c.migration.id}:preflight` });
  const channel = `__keyspace@0__:cutover:${c.migration.id}:preflight`;
  try {
    const heard = new Promise<true>((resolve) => {
      ear.on('pmessage', (_pattern: string, where: string) => where === channel && resolve(true));
    });
    await ear.psubscribe(PATTERN);
    await (await probe.connection()).publish(channel, 'preflight');
    const stop = new AbortController();
    const late = delay(HEARD_WITHIN_MS, false as const, { signal: stop.signal }).catch(() => false as const);
    const came = await Promise.race([heard, late]);
    stop.abort();
    return came
      ? pass('a message that was published there came back')
      : unmet(
          `a message on ${channel} did not come within ${HEARD_WITHIN_MS / 1000} s`,
          'name the server itself, not a proxy',
        );
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    if (said.startsWith('NOPERM')) {
      return unmet(`the user ${user} may not listen: ${said}`, channelRule(probe.endpoint, said));
    }
    throw new CannotCheck(`PSUBSCRIBE and PUBLISH on ${probe.where}: ${said}`);
  } finally {
    ear.disconnect();
  }
}
