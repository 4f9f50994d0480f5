import pLimit from 'p-limit';
import type { LimitFunction } from 'p-limit';
import { join } from 'node:path';
import type { Cloud } from '../cloud.ts';
import type { Forwarder } from '../forwarding.ts';
import { Journal } from './journal.ts';
import { Moto } from './moto.ts';
import { DynamoDbScript } from './script.ts';
import type { DynamoDbState, RecoveryState } from './state.ts';
import { identified } from './table-ids.ts';

/** DynamoDB of one emulated account: what is not in its state, because it does not outlive the process. */
export class DynamoDb {
  readonly cloud: Cloud;
  readonly script = new DynamoDbScript();
  /** Tables whose writes are watched, or are about to be. */
  readonly watched: Set<string>;
  readonly #moto: Promise<Moto>;
  #found!: (moto: Moto) => void;
  #attached = false;
  readonly #journals = new Map<string, Journal>();
  readonly #reconciled = new Set<string>();
  readonly #locks = new Map<string, LimitFunction>();

  constructor(cloud: Cloud) {
    this.cloud = cloud;
    this.#moto = new Promise((resolve) => {
      this.#found = resolve;
    });
    this.watched = new Set(Object.keys(cloud.store.state.dynamodb.recovery));
  }

  get state(): DynamoDbState {
    return this.cloud.store.state.dynamodb;
  }

  save(): void {
    this.cloud.store.save();
  }

  /** The service's clock, in milliseconds. */
  now(): number {
    return Date.now() + this.state.clockOffset;
  }

  iso(at = this.now()): string {
    return new Date(at).toISOString();
  }

  arn(rest: string): string {
    return `arn:aws:dynamodb:${this.cloud.region}:${this.cloud.account}:${rest}`;
  }

  attach(forwarder: Forwarder): void {
    if (this.#attached) return;
    this.#attached = true;
    this.#found(new Moto(this.cloud.region, forwarder, (table) => identified(this, table)));
  }

  /** Waits for the first call of DynamoDB, which brings the way to moto: without one nobody sees what is not done yet. */
  async moto(): Promise<Moto> {
    return this.cloud.background.orStopped(this.#moto);
  }

  /** Whether a call has brought the way to moto. */
  get attached(): boolean {
    return this.#attached;
  }

  /** Does work on tables while nobody else does; the same order for all keeps two of them from waiting for each other. */
  async locked<T>(tables: readonly string[], work: () => Promise<T>): Promise<T> {
    const names = [...new Set(tables)].sort();
    return names.reduceRight<() => Promise<T>>((inner, name) => () => this.#lock(name)(inner), work)();
  }

  /** A journal as it is on disk: for a job that looks back. */
  history(file: string, keys: readonly string[]): Journal {
    const known = this.#journals.get(file);
    if (known !== undefined) return known;
    const journal = Journal.open(join(this.cloud.dir, file), keys);
    this.#journals.set(file, journal);
    return journal;
  }

  begin(recovery: RecoveryState, base: Parameters<typeof Journal.begin>[2]): void {
    const { journal: file, keys } = recovery;
    this.#journals.set(file, Journal.begin(join(this.cloud.dir, file), keys, base));
    this.#reconciled.add(file);
  }

  /**
   * The journal of a table with point-in-time recovery, or undefined when it is off: also for another table of that name.
   * Call it under the table's lock.
   * @param reconcile also makes up for writes that went past the sandbox: PartiQL's, another client's of moto, and one that
   *   was under way when recovery was switched on. Always done once after a restart.
   */
  async live(table: string, reconcile: boolean): Promise<{ recovery: RecoveryState; journal: Journal } | undefined> {
    const recovery = this.state.recovery[table];
    if (recovery === undefined) return undefined;
    const { journal: file, keys } = recovery;
    if (reconcile || !this.#reconciled.has(file)) {
      const moto = await this.moto();
      if ((await moto.table(table))?.TableId !== recovery.tableId) {
        this.forget(table);
        return undefined;
      }
      this.history(file, keys).noteAll(await moto.scan(table), this.now());
      this.#reconciled.add(file);
    }
    return { recovery, journal: this.history(file, keys) };
  }

  /** Recovery is off. The journal stays on disk: exports and restores that were asked for before go on. */
  forget(table: string): void {
    delete this.state.recovery[table];
    this.watched.delete(table);
    this.save();
  }

  #lock(table: string): LimitFunction {
    const known = this.#locks.get(table);
    if (known !== undefined) return known;
    const lock = pLimit(1);
    this.#locks.set(table, lock);
    return lock;
  }
}

const services = new WeakMap<Cloud, DynamoDb>();

export function dynamoDbOf(cloud: Cloud): DynamoDb {
  const known = services.get(cloud);
  if (known !== undefined) return known;
  const made = new DynamoDb(cloud);
  services.set(cloud, made);
  return made;
}
