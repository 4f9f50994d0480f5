/**
 * TLS connections that can be ended by a reset. A write that was given up must not arrive later: a TLS socket alone can only
 * be closed, and then the system goes on sending what is in its buffer, for minutes, once the network heals.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { AbstractConnector, type RedisOptions } from 'ioredis';

const carriers = new WeakMap<object, Socket>();

/** As the connector of ioredis for one server, but for that it keeps the socket below the TLS. */
export class TlsConnector extends AbstractConnector {
  private readonly options: RedisOptions;

  constructor(options: unknown) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- ioredis gives every connector its own options
    const given = options as RedisOptions;
    super(given.disconnectTimeout ?? 2_000);
    this.options = given;
  }

  /** @throws where it was given up before it began */
  async connect(): Promise<Socket> {
    this.connecting = true;
    await Promise.resolve();
    if (!this.connecting) throw new Error('Connection is closed.');
    const { host, port, family, path, tls } = this.options;
    const to = { ...(path ? { path } : { host, port, family }), ...tls } as ConnectionOptions & { port: number };
    const carrier = connectTcp(to);
    const stream = connectTls({ ...to, socket: carrier });
    carrier.on('error', (error) => void stream.destroy(error));
    stream.once('error', (error) => void (this.firstError = error));
    carriers.set(stream, carrier);
    this.stream = stream;
    return stream;
  }
}

/** Ends a connection so that nothing that was written to it and has not arrived yet ever does. */
export function resetConnection(stream: Socket | undefined): void {
  const carrier = stream && carriers.get(stream);
  try {
    (carrier ?? stream)?.resetAndDestroy();
  } catch {
    // A unix socket has no reset, and its bytes have arrived; nor has TLS through a connector of the application's own.
  }
  stream?.destroy();
}
