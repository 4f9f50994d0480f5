import { z } from 'zod';
import { findGroup, findNode } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import type { EngineScript } from './dms/engine/contract.ts';
import { DMS_COMMANDS, DmsControl } from './dms/control.ts';
import { DynamoDbControl } from './dynamodb/control.ts';
import { MachinesControl } from './ec2/control.ts';
import { emit } from './events.ts';
import type { CallHook, CallRecord } from './script.ts';
import { takeAutomaticSnapshot } from './snapshots.ts';
import { primaryOf } from './state.ts';
import { DEFAULT_TIMING } from './timing.ts';
import type { Timing } from './timing.ts';

const times = z.number().int().min(1).default(1);
const action = z.string().min(1).describe('StartMigration, ssm:PutParameter, or * for every call');
const ms = z.number().min(0).max(3_600_000);
const timing = z.strictObject(
  Object.fromEntries(Object.keys(DEFAULT_TIMING).map((key) => [key, ms.optional()])) as Record<
    keyof Timing,
    z.ZodOptional<typeof ms>
  >,
);

/** What each command takes. The same over HTTP: `POST /_sandbox/<command>` with this as JSON. */
export const COMMANDS = {
  /** State durations in milliseconds; those not named stay. */
  setTiming: timing,
  /** The next calls of an action are refused with this code. */
  failNext: z.strictObject({
    action,
    code: z.string().min(1),
    message: z.string().optional(),
    status: z.number().int().min(400).max(599).optional(),
    times,
  }),
  /** `times` calls, or with `rate` that part of all calls from now on. */
  throttle: z.strictObject({
    action: action.default('*'),
    times: z.number().int().min(1).optional(),
    rate: z.number().gt(0).max(1).optional(),
    code: z.enum(['Throttling', 'APICallRateForCustomerExceeded']).default('Throttling'),
  }),
  /** Never answered; carried out all the same if `perform`. */
  hang: z.strictObject({ action, perform: z.boolean().default(false), times }),
  /** Carried out, and the connection cut without an answer. */
  drop: z.strictObject({ action, times }),
  /** Carried out after `ms`; the caller waits for it (`after`) or is cut off at once (`cut`). */
  late: z.strictObject({ action, ms, answer: z.enum(['after', 'cut']).default('after'), times }),
  /** StartMigration is accepted, but cannot attach. */
  refuseAttach: z.strictObject({ times }),
  /**
   * fail: stays migrating, with an event. stuck: promotes, but the status never changes and no event comes.
   * ignored: nothing happens, and no event comes.
   */
  completeAs: z.strictObject({ mode: z.enum(['fail', 'stuck', 'ignored']), times }),
  failSnapshots: z.strictObject({ times }),
  /** What AWS does by itself in a group's daily window. */
  automaticSnapshot: z.strictObject({ group: z.string() }),
  /** Kills a group's node, its primary if none is named; it is replaced as after a failure, with failover. */
  replaceNode: z.strictObject({ group: z.string(), node: z.string().optional() }),
  /** SIGSTOP and SIGCONT. */
  freezeNode: z.strictObject({ node: z.string() }),
  thawNode: z.strictObject({ node: z.string() }),
  /** Describe calls see the state as it was `ms` ago; 0 ends it. */
  delayVisibility: z.strictObject({ ms: ms.max(60_000) }),
  /** Calls with this access key are refused; `*` for every key. */
  rejectKey: z.strictObject({ accessKeyId: z.string().default('*'), code: z.string().default('InvalidClientTokenId') }),
  emitEvent: z.strictObject({
    sourceType: z.enum(['replication-group', 'cache-cluster', 'cache-parameter-group']).default('replication-group'),
    sourceId: z.string(),
    message: z.string(),
    /** ISO 8601; now by default. */
    date: z.iso.datetime().optional(),
  }),
  calls: z.strictObject({ action: z.string().optional() }),
  /** Background work that failed in a way nobody foresaw; empty in a sandbox that is well. */
  failures: z.strictObject({}),
  nodes: z.strictObject({ group: z.string().optional() }),
  ...DMS_COMMANDS,
  /** Forgets all faults, delays and hooks. Timing and the call log stay. */
  reset: z.strictObject({}),
} as const;

type Commands = typeof COMMANDS;
type Given<K extends keyof Commands> = z.input<Commands[K]>;

export interface RunningNode {
  group: string;
  id: string;
  shard: string;
  role: 'primary' | 'replica';
  host: string;
  port: number;
  pid: number | undefined;
}

/** Scripts the emulated AWS: slow states, faults, deaths; and shows what it was asked. */
export class Control {
  readonly dms: DmsControl;
  readonly dynamodb: DynamoDbControl;
  readonly machines: MachinesControl;
  readonly #cloud: Cloud;

  constructor(cloud: Cloud) {
    this.#cloud = cloud;
    this.dms = new DmsControl(cloud);
    this.dynamodb = new DynamoDbControl(cloud);
    this.machines = new MachinesControl(cloud);
  }

  setTiming(given: Given<'setTiming'>): void {
    Object.assign(this.#cloud.timing, COMMANDS.setTiming.parse(given));
  }

  failNext(given: Given<'failNext'>): void {
    const {
      action,
      code,
      message = 'Refused by the sandbox’s script.',
      status,
      times,
    } = COMMANDS.failNext.parse(given);
    this.#cloud.script.add(
      action,
      { kind: 'fail', code, message, ...(status === undefined ? {} : { status }) },
      { times },
    );
  }

  throttle(given: Given<'throttle'>): void {
    const { action, times, rate, code } = COMMANDS.throttle.parse(given);
    this.#cloud.script.add(action, { kind: 'fail', code, message: 'Rate exceeded', status: 400 }, { times, rate });
  }

  hang(given: Given<'hang'>): void {
    const { action, perform, times } = COMMANDS.hang.parse(given);
    this.#cloud.script.add(action, { kind: 'hang', perform }, { times });
  }

  drop(given: Given<'drop'>): void {
    const { action, times } = COMMANDS.drop.parse(given);
    this.#cloud.script.add(action, { kind: 'drop' }, { times });
  }

  late(given: Given<'late'>): void {
    const { action, ms: delay, answer, times } = COMMANDS.late.parse(given);
    this.#cloud.script.add(action, { kind: 'late', ms: delay, answer }, { times });
  }

  refuseAttach(given: Given<'refuseAttach'> = {}): void {
    this.#cloud.script.refuseAttach(COMMANDS.refuseAttach.parse(given).times);
  }

  completeAs(given: Given<'completeAs'>): void {
    const { mode, times } = COMMANDS.completeAs.parse(given);
    this.#cloud.script.onComplete(mode, times);
  }

  failSnapshots(given: Given<'failSnapshots'> = {}): void {
    this.#cloud.script.failSnapshots(COMMANDS.failSnapshots.parse(given).times);
  }

  /** @returns the snapshot's name; it is `creating` yet. */
  automaticSnapshot(given: Given<'automaticSnapshot'>): string {
    return takeAutomaticSnapshot(this.#cloud, COMMANDS.automaticSnapshot.parse(given).group);
  }

  /** Resolves when the process is gone; the replacement goes on in the background. */
  async replaceNode(given: Given<'replaceNode'>): Promise<void> {
    const { group: groupId, node } = COMMANDS.replaceNode.parse(given);
    const group = findGroup(this.#cloud, groupId);
    const id = node ?? primaryOf(group).id;
    if (!group.nodes.some((entry) => entry.id === id)) throw new Error(`${id} is no node of ${groupId}`);
    if (!this.#cloud.nodes.runs(id)) throw new Error(`node ${id} does not run`);
    group.replacing = id;
    await this.#cloud.nodes.kill(id, false);
  }

  freezeNode(given: Given<'freezeNode'>): void {
    this.#signal(COMMANDS.freezeNode.parse(given).node, 'SIGSTOP');
  }

  thawNode(given: Given<'thawNode'>): void {
    this.#signal(COMMANDS.thawNode.parse(given).node, 'SIGCONT');
  }

  delayVisibility(given: Given<'delayVisibility'>): void {
    this.#cloud.store.delayVisibility(COMMANDS.delayVisibility.parse(given).ms);
  }

  rejectKey(given: Given<'rejectKey'> = {}): void {
    const { accessKeyId, code } = COMMANDS.rejectKey.parse(given);
    this.#cloud.script.rejectKey(accessKeyId, code);
  }

  emitEvent(given: Given<'emitEvent'>): void {
    const { sourceType, sourceId, message, date } = COMMANDS.emitEvent.parse(given);
    emit(this.#cloud, sourceType, sourceId, message, date === undefined ? new Date() : new Date(date));
  }

  /** All calls so far (the newest 20,000), or those of one action. */
  calls(given: Given<'calls'> = {}): CallRecord[] {
    const { action: wanted } = COMMANDS.calls.parse(given);
    return this.#cloud.script.calls.filter((call) => wanted === undefined || call.action === wanted);
  }

  failures(given: Given<'failures'> = {}): string[] {
    COMMANDS.failures.parse(given);
    return [...this.#cloud.background.failures];
  }

  /** The processes behind the emulated nodes. */
  nodes(given: Given<'nodes'> = {}): RunningNode[] {
    const { group: wanted } = COMMANDS.nodes.parse(given);
    return Object.values(this.#cloud.store.state.groups)
      .filter((group) => wanted === undefined || group.id === wanted)
      .flatMap((group) =>
        group.nodes.map((node) => ({
          group: group.id,
          id: node.id,
          shard: node.shard,
          role: node.role,
          host: '127.0.0.1',
          port: node.port,
          pid: this.#cloud.nodes.pid(node.id),
        })),
      );
  }

  /**
   * For tests in this process: `fn` runs before a call is carried out, or after it and before its answer. A throw of it is
   * the call's answer. @returns a function that takes it away again.
   */
  onCall(name: string, phase: 'before' | 'after', fn: CallHook): () => void {
    return this.#cloud.script.onCall(name, phase, fn);
  }

  /** The HTTP page's names of what `dms` does. */
  dmsScript(given: Given<'dmsScript'>): void {
    const { task, script } = COMMANDS.dmsScript.parse(given);
    this.dms.script(task, script as EngineScript);
  }

  async dmsFailTask(given: Given<'dmsFailTask'>): Promise<void> {
    const { task, ...end } = COMMANDS.dmsFailTask.parse(given);
    await this.dms.failTask(task, end);
  }

  dmsLatency(given: Given<'dmsLatency'>): { source: number; target: number } {
    return this.dms.latency(COMMANDS.dmsLatency.parse(given).task);
  }

  reset(given: Given<'reset'> = {}): void {
    COMMANDS.reset.parse(given);
    this.#cloud.dms.engines.reset();
    this.dynamodb.reset();
    this.machines.reset();
    this.#cloud.script.reset();
    this.#cloud.store.delayVisibility(0);
  }

  #signal(node: string, signal: NodeJS.Signals): void {
    findNode(this.#cloud, node);
    this.#cloud.nodes.signal(node, signal);
  }
}
