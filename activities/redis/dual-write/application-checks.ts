/** What a dual write needs of the application: its phase, its instances, and nobody who writes past the library. */
import {
  authorityOf,
  decodeControl,
  dualClientName,
  dualKeys,
  noControl,
  type DualControl,
} from '../../../spec/dual-write.ts';
import { fail, pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { redisCli } from '../preflight/commands.ts';
import { listOf, type RedisProbe } from '../preflight/probe.ts';
import type { DualCheck, DualContext } from './check-context.ts';
import { timeOf } from './control.ts';
import { decodeKnown, judgeInstances, remedyFor } from './instances.ts';

const cli = (probe: RedisProbe, ...command: string[]) => redisCli(probe.endpoint, ...command);

export const applicationChecks: readonly DualCheck[] = [
  {
    id: 'D.control',
    title: 'the application is in a phase from which this migration can begin',
    severity: 'fail',
    remedy: () =>
      'see docs/redis-dual-write.md, "a run that was ended at target-first"; for another migration choose another id',
    byHand: (c) => cli(c.source, 'HGETALL', dualKeys(c.migration.id).phase),
    run: async (c) => {
      const control = await controlOf(c);
      const found = control.epoch === 0 ? 'no phase was ever set' : `phase ${control.phase}, epoch ${control.epoch}`;
      return authorityOf(control) === 'source' ? pass(found) : unmet(`${found}: the target is the authority`);
    },
  },
  {
    id: 'D.instances',
    title: 'the instances of the application are seen, and alive',
    severity: 'fail',
    cheap: true,
    remedy: (c) =>
      `start the application with cutover/dual-write and the id ${c.migration.id} (docs/dual-write-library.md)`,
    byHand: (c) => cli(c.source, 'HGETALL', dualKeys(c.migration.id).instances),
    run: checkInstances,
  },
  {
    id: 'D.writers',
    title: 'nobody writes to the source past the library',
    severity: 'fail',
    cheap: true,
    remedy: (c) =>
      `give them cutover/dual-write with the id ${c.migration.id}, or stop them: ${cli(c.source, 'CLIENT', 'LIST')}`,
    byHand: (c) => cli(c.source, 'CLIENT', 'LIST'),
    run: checkWriters,
  },
];

async function controlOf(c: DualContext): Promise<DualControl> {
  const { phase } = dualKeys(c.migration.id);
  const node = await c.nodes.source.holding(phase);
  const flat = listOf(await node.callAgain('HGETALL', phase)).map(String);
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) fields[flat[i]!] = flat[i + 1]!;
  return decodeControl(fields) ?? noControl();
}

async function checkInstances(c: DualContext): Promise<Finding> {
  const control = await controlOf(c);
  const { instances } = dualKeys(c.migration.id);
  const node = await c.nodes.source.holding(instances);
  const known = decodeKnown(listOf(await node.callAgain('HGETALL', instances)).map(String));
  const nowMs = timeOf(await node.callAgain('TIME'));
  const judged = judgeInstances(known, control, nowMs);
  const { min } = c.migration.instances;
  const found = `${judged.following} follow, ${min} expected`;
  const missing = judged.missing.map(({ why }) => why).join('; ');
  if (judged.following >= min && missing === '') return pass(found);
  // At the start a rolling deployment may be under way; phase both waits for all of them.
  const told = c.moment === 'start' ? warn : fail;
  return told(missing === '' ? found : `${found}; ${missing}`, remedyFor(c.migration, judged));
}

interface Writer {
  client: string;
  /** It was a write, and not only something in which there may be one. */
  certain: boolean;
}

/** Clients of the source whose last command was or may have been a write, and that are neither the library's nor ours. */
async function checkWriters(c: DualContext): Promise<Finding> {
  const writers: Writer[] = [];
  for (const node of await c.nodes.source.all()) writers.push(...(await writersOf(node, c.migration.id)));
  if (writers.length === 0) return pass('no client’s last command was, or may have been, a write past the library');
  const certain = writers.filter((one) => one.certain);
  const shown = [...certain, ...writers.filter((one) => !one.certain)].slice(0, 3).map(({ client }) => client);
  const found = `${writers.length} clients: ${shown.join('; ')}${writers.length > 3 ? '; …' : ''}`;
  // Many read by transactions and scripts: those alone are told, and hold nobody up.
  return (c.moment === 'start' || certain.length === 0 ? warn : fail)(
    `${found}. What they write after the last compare is lost`,
  );
}

/** What they do is not theirs to say: they have no flag `write`, and the writes inside them are nobody's last command. */
const MAY_WRITE: ReadonlySet<string> = new Set(['eval', 'evalsha', 'fcall', 'exec']);

async function writersOf(node: RedisProbe, id: string): Promise<Writer[]> {
  const library = dualClientName(id, '');
  const writers: Writer[] = [];
  for (const line of String(await node.callAgain('CLIENT', 'LIST')).split('\n')) {
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? '';
    const name = field('name');
    if (line === '' || /[SM]/.test(field('flags')) || name.startsWith('cutover:') || name.startsWith(library)) continue;
    const command = (field('cmd').split('|')[0] ?? '').toLowerCase();
    const client = `${field('addr')} (${name || 'without a name'}, ${command}`;
    if (MAY_WRITE.has(command)) {
      writers.push({
        client: `${client}: a ${command === 'exec' ? 'transaction' : 'script'} may write)`,
        certain: false,
      });
      continue;
    }
    if (!/^[a-z]+$/.test(command)) continue;
    const [about] = listOf(await node.call('COMMAND', 'INFO', command));
    const flags = Array.isArray(about) && Array.isArray(about[2]) ? about[2].map(String) : [];
    if (flags.includes('write')) writers.push({ client: `${client})`, certain: true });
  }
  return writers;
}
