/**
 * A TCP proxy in front of a Redis or Postgres server that a test can arm: when a certain command passes by, something happens at that
 * very moment, before the server has seen it or after it has answered. So a worker can be killed at a named point without
 * a line of test code in the product.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface Wire {
  /** The command's words, upper case: `['CONFIG', 'SET', 'MIN-REPLICAS-TO-WRITE', '…']`. */
  match(words: string[]): boolean;
  /** `before`: the server has not seen the command; `after`: it has answered, and the client has not seen that. */
  when: 'before' | 'after';
  /** Runs once. The command (or the answer) is held until it ends. */
  action(): void | Promise<void>;
  /** Then what: let it through (default), or cut the connection. */
  verdict?: 'pass' | 'cut';
}

export type Tripped = Promise<void> & { within(ms: number, instead: () => Promise<string>): Promise<void> };

export interface Tripwire {
  port: number;
  /** Arms a wire; resolves when it has been tripped. `within` does so too, or fails and says what was there instead. */
  arm(wire: Wire): Tripped;
  /** Every command seen so far, for a test's error messages. */
  seen(): string[];
  close(): Promise<void>;
}

/** Takes a connection's commands out of what a client sends. */
export interface WireParser {
  feed(chunk: Buffer): string[][];
}

/** @param parserFor one for each connection; default: Redis's protocol */
export async function startTripwire(
  upstreamPort: number,
  parserFor: () => WireParser = () => new CommandParser(),
): Promise<Tripwire> {
  let armed: { wire: Wire; tripped: () => void } | undefined;
  const seen: string[] = [];
  const sockets = new Set<Socket>();

  const trip = async (words: string[], when: Wire['when']): Promise<'pass' | 'cut' | undefined> => {
    if (!armed || armed.wire.when !== when || !armed.wire.match(words)) return undefined;
    const { wire, tripped } = armed;
    armed = undefined;
    await wire.action();
    tripped();
    return wire.verdict ?? 'pass';
  };

  const server: Server = createServer((client) => {
    const upstream = connect(upstreamPort, '127.0.0.1');
    sockets.add(client).add(upstream);
    const cut = () => {
      client.destroy();
      upstream.destroy();
    };
    const parser = parserFor();
    let last: string[] = [];
    const inOrder = (socket: Socket, pass: (chunk: Buffer) => Promise<'pass' | 'cut' | undefined>, to: Socket) => {
      let queue = Promise.resolve();
      socket.on('data', (chunk: Buffer) => {
        queue = queue.then(async () => {
          if ((await pass(chunk)) === 'cut') cut();
          else if (!to.destroyed) to.write(chunk);
        });
      });
      socket.on('end', () => void queue.then(() => to.end()));
      socket.on('error', cut);
      socket.on('close', cut);
    };
    inOrder(
      client,
      async (chunk) => {
        let verdict: 'pass' | 'cut' | undefined;
        for (const words of parser.feed(chunk)) {
          last = words;
          seen.push(words.slice(0, 4).join(' '));
          if (seen.length > 200) seen.shift();
          verdict ??= await trip(words, 'before');
        }
        return verdict;
      },
      upstream,
    );
    inOrder(upstream, () => trip(last, 'after'), client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    arm: (wire) => {
      const tripping = new Promise<void>((tripped) => (armed = { wire, tripped }));
      return Object.assign(tripping, {
        within: (ms: number, instead: () => Promise<string>) => within(tripping, ms, instead),
      });
    },
    seen: () => seen,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function within(tripping: Promise<void>, ms: number, instead: () => Promise<string>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), ms)));
  const first = await Promise.race([tripping, late]);
  clearTimeout(timer);
  if (first === 'late') throw new Error(`not tripped within ${ms} ms; ${await instead()}`);
}

/** Commands as clients send them: RESP arrays of bulk strings. */
class CommandParser implements WireParser {
  private rest = Buffer.alloc(0);

  feed(chunk: Buffer): string[][] {
    this.rest = Buffer.concat([this.rest, chunk]);
    const commands: string[][] = [];
    for (let at = this.take(); at; at = this.take()) commands.push(at);
    return commands;
  }

  private take(): string[] | undefined {
    let offset = 0;
    const line = (): string | undefined => {
      const end = this.rest.indexOf('\r\n', offset);
      if (end === -1) return undefined;
      const text = this.rest.toString('latin1', offset, end);
      offset = end + 2;
      return text;
    };
    const head = line();
    if (head === undefined) return undefined;
    if (!head.startsWith('*')) throw new Error(`not a RESP command: ${head.slice(0, 40)}`);
    const words: string[] = [];
    for (let i = 0; i < Number(head.slice(1)); i++) {
      const size = line();
      if (size === undefined) return undefined;
      const length = Number(size.slice(1));
      if (this.rest.length < offset + length + 2) return undefined;
      words.push(this.rest.toString('latin1', offset, offset + length).toUpperCase());
      offset += length + 2;
    }
    this.rest = this.rest.subarray(offset);
    return words;
  }
}
