/** What the watch reads of the two servers themselves, beside DMS: lag by a marker, slot, DMS's own tables. */
import { CancelledFailure, ApplicationFailure } from '@temporalio/common';
import type pg from 'pg';
import { ErrorType } from '../../spec/errors.ts';
import type { Postgres } from '../../spec/kind-postgres.ts';
import type { TablePlan } from '../../spec/postgres-plan.ts';
import { connectPostgres, postgresFailure, sessionName, whereIs } from '../postgres/connect.ts';
import type { SlotReading } from '../postgres/slots.ts';
import { readControlTables, type ControlRow } from './control-tables.ts';
import { markerArrived, writeWatchMarker, type Marker } from './marker.ts';
import { resourceIdOf, type DmsResources } from './resources.ts';
import { slotsOf } from './slot.ts';

/** A query of the watch that takes longer is a fault of the server's, ms. */
const STATEMENT_MS = 20_000;
/** A marker is waited for at most so long at a time, ms. */
const LONGEST_LOOK_MS = 30_000;

export interface DatabaseReading {
  lagMs?: number;
  slot?: SlotReading | undefined;
  control: ControlRow[];
  unreadable: string[];
}

export class WatchedDatabases {
  private readonly migration: Postgres;
  private readonly resources: DmsResources;
  private readonly clients = new Map<'source' | 'target', pg.Client>();
  /** The youngest marker that has arrived. */
  private arrived: Marker | undefined;

  constructor(migration: Postgres, resources: DmsResources) {
    this.migration = migration;
    this.resources = resources;
  }

  /** Changes with every marker that arrives. */
  get lastMarker(): string {
    return this.arrived?.value ?? '';
  }

  /**
   * @param following whether a marker is to be sent: before that it would only wait behind the load
   * A server that is away does not fail it: that is a state, and it ends by itself.
   * @throws cutover.Denied, cutover.Secret where a password was changed under us; CancelledFailure
   */
  async read(plan: TablePlan, following: boolean): Promise<DatabaseReading> {
    const reading: DatabaseReading = { control: [], unreadable: [] };
    const taskNames = [this.resources.taskId, resourceIdOf(this.resources.taskArn)];
    let marker: Marker | undefined;
    await this.use('source', reading, async (source) => {
      const slots = await slotsOf(source, this.resources.taskArn);
      reading.slot = slots.find(({ active }) => active) ?? slots[0];
      if (following) marker = await writeWatchMarker(source, this.migration.id);
    });
    await this.use('target', reading, async (target) => {
      reading.control = await readControlTables(target, plan, taskNames);
      const sent = marker;
      if (!sent) return;
      const took = await markerArrived(target, sent, Math.min(this.migration.ready.maxLag, LONGEST_LOOK_MS));
      if (took !== undefined) {
        this.arrived = sent;
        reading.lagMs = took;
      } else if (this.arrived) reading.lagMs = Date.now() - this.arrived.at;
    });
    return reading;
  }

  async close(): Promise<void> {
    const open = [...this.clients.values()];
    this.clients.clear();
    await Promise.all(open.map((client) => client.end().catch(() => {})));
  }

  private async use(
    side: 'source' | 'target',
    reading: DatabaseReading,
    fn: (client: pg.Client) => Promise<void>,
  ): Promise<void> {
    const endpoint = this.migration[side];
    try {
      const client = this.clients.get(side) ?? (await this.connect(side));
      await fn(client);
    } catch (error) {
      if (error instanceof CancelledFailure) throw error;
      const client = this.clients.get(side);
      this.clients.delete(side);
      await client?.end().catch(() => {});
      const failure = postgresFailure(error, whereIs(endpoint));
      const type = failure instanceof ApplicationFailure ? failure.type : undefined;
      if (type === ErrorType.denied || type === ErrorType.secret) throw failure;
      if (!(failure instanceof ApplicationFailure)) throw failure;
      reading.unreadable.push(`${side}: ${failure.message}`);
    }
  }

  private async connect(side: 'source' | 'target'): Promise<pg.Client> {
    const client = await connectPostgres(this.migration[side], {
      name: sessionName(this.migration.id, 'watch'),
      aws: this.migration.aws,
      statementTimeoutMs: STATEMENT_MS,
    });
    this.clients.set(side, client);
    return client;
  }
}
