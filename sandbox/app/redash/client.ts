/** One of the application's processes: one transaction after another, and it knows of each what became of it. */
import type { Client } from 'pg';
import type { Wake } from '../wake.ts';
import { Belongings, NothingThere, type Ground } from './belongings.ts';
import { connectTo, type PgEndpoint } from './endpoint.ts';
import { failureOf, saysNotCommitted } from './failure.ts';
import { markOf } from './marks.ts';
import type { RedashMeter } from './meter.ts';
import { ROUND, type Afterwards } from './operations.ts';
import type { RecordKeeper } from './record.ts';
import { Transaction } from './transaction.ts';

/** Where to write now. `generation` is the endpoint's index in the record, and goes up with each switch. */
export interface Destination {
  generation: number;
  endpoint: PgEndpoint;
}

export interface RedashClientOptions {
  run: string;
  client: number;
  clients: number;
  /** Milliseconds between two transactions of this client. */
  intervalMs: number;
  ground: Ground;
  destination: () => Destination;
  /** False while the service is stopped. */
  mayWrite: () => boolean;
  ended: () => boolean;
  wake: Wake;
  keeper: RecordKeeper;
  meter: RedashMeter;
}

const FIRST_RETRY_MS = 10;
const LAST_RETRY_MS = 200;
const LARGEST_BACKLOG_MS = 1_000;
const STOPPED_LOOK_MS = 500;
/** A server that hangs: the connection is given up, and another one is tried. */
const ANSWER_MS = 10_000;

/** Epoch ms with a fraction; never goes back. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

export class RedashClient {
  readonly #options: RedashClientOptions;
  readonly #own: Belongings;
  #connection: { generation: number; client: Client } | undefined;
  #seq = 0;
  #turn: number;
  #busy = false;

  constructor(options: RedashClientOptions) {
    this.#options = options;
    this.#own = new Belongings(options.ground, options.client, options.clients);
    this.#turn = 0;
  }

  /** A transaction is under way. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Runs until ended. Never rejects. */
  async run(): Promise<void> {
    const { ended, mayWrite, wake, intervalMs } = this.#options;
    let due = performance.now() + Math.random() * intervalMs;
    let retryMs = FIRST_RETRY_MS;
    while (!ended()) {
      if (!mayWrite()) {
        await this.#disconnect();
        await wake.sleep(STOPPED_LOOK_MS);
        continue;
      }
      const early = due - performance.now();
      // A timer is good to about a millisecond, so short waits are made up for later instead.
      if (early > 1) {
        await wake.sleep(early);
        continue;
      }
      this.#busy = true;
      const written = await this.#attempt();
      this.#busy = false;
      if (!written) {
        await wake.sleep(retryMs);
        retryMs = Math.min(LAST_RETRY_MS, retryMs * 1.5);
        continue;
      }
      retryMs = FIRST_RETRY_MS;
      // What was held up is made up for, as users would: but not all that a long pause held up.
      due = Math.max(due + intervalMs, performance.now() - LARGEST_BACKLOG_MS);
    }
    await this.#disconnect();
  }

  /** @returns whether one was acknowledged */
  async #attempt(): Promise<boolean> {
    const { meter } = this.#options;
    const { generation } = this.#options.destination();
    try {
      const client = await this.#connected();
      const [kind, operation, needs] = ROUND[this.#turn++ % ROUND.length]!;
      if (needs && !needs(this.#own)) return true;
      return await this.#transaction(client, kind, operation);
    } catch (error) {
      const { kind, broken } = failureOf(error);
      meter.error(kind, generation);
      if (broken) await this.#disconnect();
      return false;
    }
  }

  async #transaction(client: Client, kind: string, operation: (typeof ROUND)[number][1]): Promise<boolean> {
    const { run, client: number, keeper, meter } = this.#options;
    const generation = this.#connection!.generation;
    const seq = this.#seq++;
    const tx = new Transaction(client, markOf(run, number, seq));
    let afterwards: Afterwards | void;
    await client.query('BEGIN');
    try {
      afterwards = await operation(tx, this.#own);
    } catch (error) {
      if (!failureOf(error).broken || error instanceof NothingThere) await client.query('ROLLBACK');
      if (error instanceof NothingThere) return true;
      throw error;
    }
    keeper.tried(number, seq, generation, kind, tx.effects);
    try {
      await client.query('COMMIT');
    } catch (error) {
      if (saysNotCommitted(error)) keeper.refused(number, seq);
      else {
        afterwards?.unknown?.();
        meter.unknown(generation);
      }
      throw error;
    }
    const at = now();
    keeper.acknowledged(number, seq, at);
    meter.ack(number, at, generation, kind);
    afterwards?.acknowledged?.();
    return true;
  }

  async #connected(): Promise<Client> {
    const { destination, client: number } = this.#options;
    const { generation, endpoint } = destination();
    if (this.#connection?.generation === generation) return this.#connection.client;
    await this.#disconnect();
    const client = await connectTo(endpoint, `redash:${number}`, ANSWER_MS);
    this.#connection = { generation, client };
    return client;
  }

  async #disconnect(): Promise<void> {
    const old = this.#connection?.client;
    this.#connection = undefined;
    // A server that hangs does not answer a goodbye either.
    if (old) await Promise.race([old.end().catch(() => {}), this.#options.wake.sleep(STOPPED_LOOK_MS)]);
  }
}
