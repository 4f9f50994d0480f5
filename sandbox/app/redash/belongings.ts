/** The rows that one client may touch: nobody else does, so what a row must hold follows from this client's writes alone. */
import type { ClientBase } from 'pg';

const MOST = 500;

/** Ids of rows that are certainly there. */
class Ids {
  #ids: number[] = [];

  add(id: number): void {
    this.#ids.push(id);
    if (this.#ids.length > MOST) this.#ids = this.#ids.slice(-MOST / 2);
  }

  some(): boolean {
    return this.#ids.length > 0;
  }

  /** @throws NothingThere */
  any(): number {
    return this.#known(this.#ids[Math.floor(Math.random() * this.#ids.length)]);
  }

  /** The oldest, and not again: where its deletion fails or is not answered, it is left alone. @throws NothingThere */
  take(): number {
    return this.#known(this.#ids.shift());
  }

  #known(id: number | undefined): number {
    if (id === undefined) throw new NothingThere('this client has no such row yet');
    return id;
  }
}

/** Not a failure: this client does something else instead. */
export class NothingThere extends Error {
  override readonly name = 'NothingThere';
}

/** What was there before the application began; read once. */
export interface Ground {
  org: number;
  users: number[];
  dataSources: number[];
  destinations: number[];
  dashboards: number[];
  /** The first of them: old ones, to be pruned. */
  events: number[];
}

const OLD_EVENTS = 4_000;

/** @throws Error where the schema is not filled (fillRedash) */
export async function readGround(client: ClientBase): Promise<Ground> {
  const ids = async (table: string, limit: number): Promise<number[]> => {
    const { rows } = await client.query<{ id: number }>(`SELECT id::int FROM ${table} ORDER BY id LIMIT ${limit}`);
    return rows.map(({ id }) => id);
  };
  const [orgs, users, dataSources] = [
    await ids('organizations', 1),
    await ids('users', 400),
    await ids('data_sources', 50),
  ];
  const [destinations, dashboards] = [await ids('notification_destinations', 50), await ids('dashboards', 400)];
  const ground = {
    org: orgs[0] ?? 0,
    users,
    dataSources,
    destinations,
    dashboards,
    events: await ids('events', OLD_EVENTS),
  };
  for (const [name, found] of Object.entries(ground)) {
    if (found === 0 || (Array.isArray(found) && found.length === 0))
      throw new Error(`the database has no ${name}: fill it first (fillRedash)`);
  }
  return ground;
}

export class Belongings {
  readonly queries = new Ids();
  readonly visualizations = new Ids();
  readonly dashboards = new Ids();
  readonly widgets = new Ids();
  readonly alerts = new Ids();
  readonly favorites = new Ids();
  readonly apiKeys = new Ids();
  readonly oldResults = new Ids();
  readonly oldEvents = new Ids();
  /** The result that a query of ours refers to. */
  readonly resultOf = new Map<number, number>();
  readonly favoured = new Set<string>();
  readonly org: number;
  readonly #ground: Ground;
  readonly #ownUsers: number[];

  constructor(ground: Ground, client: number, clients: number) {
    this.#ground = ground;
    this.org = ground.org;
    const mine = (ids: number[]): number[] => ids.filter((_, index) => index % clients === client);
    this.#ownUsers = mine(ground.users);
    for (const id of mine(ground.dashboards)) this.dashboards.add(id);
    for (const id of mine(ground.events).slice(0, MOST)) this.oldEvents.add(id);
  }

  anyUser = (): number => oneOf(this.#ground.users);
  anyDataSource = (): number => oneOf(this.#ground.dataSources);
  anyDestination = (): number => oneOf(this.#ground.destinations);
  anyDashboard = (): number => oneOf(this.#ground.dashboards);
  ownUser = (): number => oneOf(this.#ownUsers);
}

function oneOf(ids: readonly number[]): number {
  const id = ids[Math.floor(Math.random() * ids.length)];
  if (id === undefined) throw new NothingThere('this client has no such row');
  return id;
}
