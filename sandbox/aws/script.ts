import { AwsFault } from './faults.ts';

/** What a scripted rule makes of a call. */
export type Effect =
  | { kind: 'fail'; code: string; message: string; status?: number }
  /** No answer ever. `perform`: whether the call is carried out all the same. */
  | { kind: 'hang'; perform: boolean }
  /** Carried out, then the connection is cut without an answer. */
  | { kind: 'drop' }
  /** Carried out after `ms`; the caller waits that long, or is cut off at once. */
  | { kind: 'late'; ms: number; answer: 'after' | 'cut' };

interface Rule {
  /** `StartMigration`, `ssm:PutParameter`, or `*`. */
  action: string;
  /** How many more calls it concerns. */
  times: number;
  /** Which part of the calls it concerns, 0 to 1. */
  rate: number;
  /** Sum of `rate` over the calls seen: spreads the hits evenly, and the same in every run. */
  sum: number;
  effect: Effect;
}

/** How the next accepted CompleteMigration goes on. */
export type CompleteMode =
  /** The service fails it: the group stays migrating, and an event says so. */
  | 'fail'
  /** Promotes, but Status never changes and no event comes. */
  | 'stuck'
  /** Nothing happens, and no event comes. */
  | 'ignored';

export interface CallRecord {
  number: number;
  at: string;
  service: string;
  action: string;
  /** Inputs as they came, without secrets. Empty for services that are passed on. */
  params: Record<string, string>;
  accessKeyId: string;
  /** The same for all attempts of one SDK call. */
  invocationId: string;
  /** `attempt=1; max=3` */
  attempt: string;
  outcome: 'pending' | 'answered' | 'refused' | 'dropped' | 'hung' | 'passed on';
  status?: number;
  code?: string;
}

export type CallHook = (call: CallRecord) => void | Promise<void>;

const MOST_CALLS = 20_000;

/** The faults that tests and operators ask for, and the log of all calls. */
export class Script {
  readonly calls: CallRecord[] = [];
  readonly rejectedKeys = new Map<string, string>();
  #rules: Rule[] = [];
  #hooks: { action: string; phase: 'before' | 'after'; hook: CallHook }[] = [];
  #attachRefusals = 0;
  #completeModes: CompleteMode[] = [];
  #snapshotFailures = 0;
  #nextCall = 1;

  add(action: string, effect: Effect, limit: { times?: number | undefined; rate?: number | undefined }): void {
    const rate = limit.rate ?? 1;
    // A rate alone means "from now on", a plain rule concerns one call.
    const times = limit.times ?? (limit.rate === undefined ? 1 : Number.POSITIVE_INFINITY);
    this.#rules.push({ action, effect, times, rate, sum: 0 });
  }

  /** The effect that concerns this call, if one does; it is used up by this. */
  take(service: string, action: string): Effect | undefined {
    for (const rule of this.#rules) {
      if (rule.action !== '*' && rule.action !== action && rule.action !== `${service}:${action}`) continue;
      rule.sum += rule.rate;
      if (rule.sum < 1 - 1e-9) continue;
      rule.sum -= 1;
      rule.times -= 1;
      if (rule.times <= 0) this.#rules = this.#rules.filter((other) => other !== rule);
      return rule.effect;
    }
    return undefined;
  }

  /** @returns a function that takes the hook away again. */
  onCall(action: string, phase: 'before' | 'after', hook: CallHook): () => void {
    const entry = { action, phase, hook };
    this.#hooks.push(entry);
    return () => {
      this.#hooks = this.#hooks.filter((other) => other !== entry);
    };
  }

  async runHooks(phase: 'before' | 'after', call: CallRecord): Promise<void> {
    for (const entry of this.#hooks) {
      if (entry.phase === phase && (entry.action === '*' || entry.action === call.action)) await entry.hook(call);
    }
  }

  record(call: Omit<CallRecord, 'number' | 'at' | 'outcome'>): CallRecord {
    const record: CallRecord = { number: this.#nextCall++, at: new Date().toISOString(), ...call, outcome: 'pending' };
    this.calls.push(record);
    // A sandbox that is left up for days is polled all the time.
    if (this.calls.length > MOST_CALLS) this.calls.splice(0, this.calls.length - MOST_CALLS);
    return record;
  }

  rejectKey(accessKeyId: string, code: string): void {
    this.rejectedKeys.set(accessKeyId, code);
  }

  /** @throws AwsFault when this key was scripted to be refused. */
  checkKey(accessKeyId: string): void {
    const code = this.rejectedKeys.get(accessKeyId) ?? this.rejectedKeys.get('*');
    if (code === undefined) return;
    const text: Record<string, string> = {
      InvalidClientTokenId: 'The security token included in the request is invalid.',
      SignatureDoesNotMatch: 'The request signature we calculated does not match the signature you provided.',
      ExpiredToken: 'The security token included in the request is expired',
      AccessDenied: 'User: arn:aws:iam::123456789012:user/sandbox is not authorized to perform this action',
    };
    throw new AwsFault(code, text[code] ?? 'Refused by the sandbox’s script.');
  }

  refuseAttach(times: number): void {
    this.#attachRefusals += times;
  }

  takeAttachRefusal(): boolean {
    if (this.#attachRefusals === 0) return false;
    this.#attachRefusals -= 1;
    return true;
  }

  onComplete(mode: CompleteMode, times: number): void {
    for (let i = 0; i < times; i++) this.#completeModes.push(mode);
  }

  takeCompleteMode(): CompleteMode | undefined {
    return this.#completeModes.shift();
  }

  failSnapshots(times: number): void {
    this.#snapshotFailures += times;
  }

  takeSnapshotFailure(): boolean {
    if (this.#snapshotFailures === 0) return false;
    this.#snapshotFailures -= 1;
    return true;
  }

  /** Forgets all faults and hooks; the call log stays. */
  reset(): void {
    this.#rules = [];
    this.#hooks = [];
    this.rejectedKeys.clear();
    this.#attachRefusals = 0;
    this.#completeModes = [];
    this.#snapshotFailures = 0;
  }
}
