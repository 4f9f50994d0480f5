/**
 * The record of acknowledged writes as a file, appended while the application runs: it is there whatever ends the
 * application. One line each: `run NAME`, `endpoint INDEX HOST PORT`, `ack CLIENT ENDPOINT EPOCH_MS AMBIGUOUS REPLY`,
 * `unfinished CLIENT SEQ AMBIGUOUS`, `end`. A client's acks are in order; their numbers are their places.
 */
import { createWriteStream, readFileSync, type WriteStream } from 'node:fs';
import { AckLog, type Acknowledged, type Endpoint } from './acknowledged.ts';

const FLUSH_MS = 50;

export class AckFile {
  readonly #stream: WriteStream;
  readonly #timer: NodeJS.Timeout;
  #lines: string[] = [];
  #failure: Error | undefined;

  constructor(path: string, run: string) {
    this.#stream = createWriteStream(path, { flags: 'w', mode: 0o600 });
    this.#stream.on('error', (error) => (this.#failure = error));
    this.#lines.push(`run ${run}`);
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
  }

  endpoint(index: number, { host, port }: Endpoint): void {
    this.#lines.push(`endpoint ${index} ${host} ${port}`);
  }

  ack(client: number, endpoint: number, at: number, ambiguous: number, reply: number): void {
    this.#lines.push(`ack ${client} ${endpoint} ${at.toFixed(3)} ${ambiguous} ${reply}`);
  }

  /** @throws Error when the file could not be written */
  async end(clients: readonly AckLog[]): Promise<void> {
    clearInterval(this.#timer);
    for (const { client, unfinished } of clients) {
      if (unfinished) this.#lines.push(`unfinished ${client} ${unfinished.seq} ${unfinished.ambiguous}`);
    }
    this.#lines.push('end');
    this.#flush();
    await new Promise<void>((resolve) => this.#stream.end(resolve));
    if (this.#failure) throw this.#failure;
  }

  #flush(): void {
    if (this.#lines.length === 0) return;
    this.#stream.write(`${this.#lines.join('\n')}\n`);
    this.#lines = [];
  }
}

/**
 * Reads the file of an application that has ended, in whatever way. A last line that was cut is left out.
 * @throws Error when the file can't be read or holds something else
 */
export function readAckFile(path: string): Acknowledged {
  const text = readFileSync(path, 'utf8');
  const acks: Acknowledged = { run: '', endpoints: [], clients: [], complete: false };
  const logs = new Map<number, AckLog>();
  const logOf = (client: number): AckLog => {
    let log = logs.get(client);
    if (log === undefined) logs.set(client, (log = new AckLog(client)));
    return log;
  };
  for (const line of text.slice(0, text.lastIndexOf('\n')).split('\n')) {
    const [what, ...fields] = line.split(' ');
    const [a, b, c, d, e] = fields.map(Number) as [number, number, number, number, number];
    if (what === 'ack') logOf(a).add(c, b, d, e);
    else if (what === 'endpoint') acks.endpoints[a] = { host: fields[1]!, port: c };
    else if (what === 'unfinished') logOf(a).unfinished = { seq: b, ambiguous: c };
    else if (what === 'run') acks.run = fields[0]!;
    else if (what === 'end') acks.complete = true;
    else throw new Error(`${path}: not a record of acknowledged writes: ${JSON.stringify(line.slice(0, 80))}`);
  }
  acks.clients = [...logs.values()].sort((x, y) => x.client - y.client);
  return acks;
}
