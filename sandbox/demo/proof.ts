/** The end of the demo: what was acknowledged is looked for, write by write, on the target. */
import Table from 'cli-table3';
import { Redis } from 'ioredis';
import pc from 'picocolors';
import type { Acknowledged } from '../app/acknowledged.ts';
import type { Filled } from '../app/fill.ts';
import type { AppStats } from '../app/meter.ts';
import { verifyAcknowledged, writesTakenBy, type Verification } from '../app/verify.ts';

export interface Address {
  host: string;
  port: number;
}

export interface ProofInput {
  source: Address;
  target: Address;
  filled: Filled;
  acks: Acknowledged;
  stats: AppStats;
  /** From `cutover start` to the end, epoch ms. */
  migration: { from: number; to: number };
  /** From `cutover report --json`. */
  report: { durationMs: number; writePauseMs?: number; keysCompared?: number };
}

export interface Proof {
  verification: Verification;
  targetRole: string;
  /** What the old source answers to a write. */
  sourceAnswer: string;
  /** Acknowledged by the old source after the target had acknowledged one. */
  strayWrites: number;
  onTarget: number;
  /** In words; empty where all is proven. */
  failures: string[];
}

export async function prove({ source, target, acks, stats }: ProofInput): Promise<Proof> {
  const verification = await verifyAcknowledged(target, acks);
  const targetRole = await ask(target, async (redis) => String((await redis.role())[0]));
  const sourceAnswer = await ask(source, async (redis) => {
    return redis.set('cutover:demo:probe', '1', 'EX', 1).then(
      () => 'takes writes',
      (error: Error) => error.message.split(' ')[0] ?? error.message,
    );
  });
  const onTarget = stats.endpoints.at(-1)!;
  const strayWrites = writesTakenBy(acks, source, onTarget.firstAckAt ?? Infinity);
  const proof = { verification, targetRole, sourceAnswer, strayWrites, onTarget: onTarget.acknowledged };
  return { ...proof, failures: failuresOf(proof, target, onTarget) };
}

function failuresOf(proof: Omit<Proof, 'failures'>, target: Address, onTarget: Address): string[] {
  const { verification, targetRole, sourceAnswer, strayWrites } = proof;
  const failures: string[] = [];
  if (verification.lost > 0)
    failures.push(`${verification.lost} acknowledged writes are lost:`, ...verification.examples);
  if (verification.unexplained > 0)
    failures.push(`${verification.unexplained} writes are there without a reason:`, ...verification.examples);
  if (targetRole !== 'master') failures.push(`ROLE on the target says ${targetRole}`);
  if (onTarget.host !== target.host || onTarget.port !== target.port)
    failures.push('the application was not sent to the target');
  if (proof.onTarget === 0) failures.push('the application has written nothing to the target');
  if (strayWrites > 0) failures.push(`the old source acknowledged ${strayWrites} writes after the switch`);
  if (sourceAnswer !== 'NOREPLICAS') failures.push(`the old source is not fenced: ${sourceAnswer}`);
  return failures;
}

const NO_RULES = { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' };
const STYLE = { style: { head: [], border: [] }, chars: NO_RULES };

/** The figures, and then, in a table of their own, the two that it is all about. */
export function proofTable(input: ProofInput, proof: Proof): string {
  const { filled, stats, migration, report, acks, source } = input;
  const { verification } = proof;
  const number = (value: number): string => Math.round(value).toLocaleString('en-US');
  const ms = (value: number | undefined): string =>
    value === undefined ? 'not known' : `${value < 10 ? value.toFixed(1) : number(value)} ms`;
  const during = countBetween(acks, migration.from, migration.to);
  const errors = Object.entries(stats.errors).map(([kind, count]) => `${kind} ${number(count)}`);
  const before = stats.endpoints[0]!;
  const seconds = ((before.lastAckAt ?? 0) - (before.firstAckAt ?? 0)) / 1000;
  const figures = new Table({ ...STYLE, colAligns: ['left', 'right'] });
  figures.push(
    ['keys filled into the source', `${number(filled.keys)} in ${Object.keys(filled.byDatabase).length} databases`],
    [
      'keys compared before the cutover, all equal',
      report.keysCompared === undefined ? 'not known' : number(report.keysCompared),
    ],
    ['the migration took, with the wait at its gate', `${(report.durationMs / 1000).toFixed(1)} s`],
    ['writes acknowledged in all', number(verification.acknowledged)],
    ['  a second, before the cutover', number(before.acknowledged / seconds)],
    ['  during the migration', number(during)],
    ['  by the target, after the switch', number(proof.onTarget)],
    [`  by the old source ${source.host}:${source.port}, after the switch`, number(proof.strayWrites)],
    ['errors the application saw (each tried again)', errors.length === 0 ? 'none' : errors.join('\n')],
    ['attempts without an answer', number(verification.ambiguous)],
    ['ROLE of the target', proof.targetRole],
    ['the old source answers to a write', proof.sourceAnswer],
    ['longest that one client waited', ms(stats.longestSwitchGapMs)],
    ['write pause as the worker measured it', ms(report.writePauseMs)],
  );
  const lost = `acknowledged writes lost: ${number(verification.lost)}`;
  const verdict = new Table(STYLE);
  verdict.push(
    [pc.bold(verification.lost === 0 ? pc.green(lost) : pc.red(lost))],
    [pc.bold(`write pause: ${ms(stats.writePauseMs)}`)],
  );
  return `${figures.toString()}\n${verdict.toString()}`;
}

function countBetween(acks: Acknowledged, from: number, to: number): number {
  let count = 0;
  for (const log of acks.clients) {
    for (let seq = 0; seq < log.count; seq++) if (log.at[seq]! >= from && log.at[seq]! <= to) count++;
  }
  return count;
}

async function ask<T>({ host, port }: Address, question: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ host, port });
  redis.on('error', () => {}); // The command itself rejects.
  try {
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}
