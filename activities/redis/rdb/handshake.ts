/**
 * A connection of our own to a Redis, on which we ask for what a replica gets. ioredis can't: what follows is no reply.
 */
import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ErrorType } from '../../../spec/errors.ts';
import type { RedisEndpoint } from '../../../spec/values.ts';
import { permanent, transient } from '../../errors.ts';
import { redisFailure, redisOptions } from '../connect.ts';

const CONNECT_MS = 10_000;

/** The server sends a line feed every second while it saves; with a diskless save it may be silent until its child begins. */
const SILENT_MS = 90_000;

/** Longer than any reply of a handshake. */
const LONGEST_LINE = 65_536;

export class ReplicaSocket {
  readonly where: string;
  private readonly socket: Socket;
  private readonly chunks: AsyncIterator<Buffer>;
  private rest: Buffer = Buffer.alloc(0);

  private constructor(where: string, socket: Socket) {
    this.where = where;
    this.socket = socket;
    this.chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /**
   * Connects, signs on, and says who it is.
   * @throws cutover.Unreachable, cutover.Denied, cutover.Secret
   */
  static async open(endpoint: RedisEndpoint, name: string, signal: AbortSignal): Promise<ReplicaSocket> {
    const where = `${endpoint.host}:${endpoint.port}`;
    const { host = '', port = 0, username, password, tls } = await redisOptions(endpoint, { name });
    const socket = tls ? connectTls({ host, port, ...tls }) : connectPlain({ host, port });
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection within ${CONNECT_MS / 1000} s`)),
      CONNECT_MS,
    );
    const giveUp = () => socket.destroy(signal.reason as Error);
    signal.addEventListener('abort', giveUp, { once: true });
    socket.once('close', () => signal.removeEventListener('abort', giveUp));
    try {
      await once(socket, tls ? 'secureConnect' : 'connect');
    } catch (error) {
      socket.destroy();
      throw redisFailure(error, where);
    } finally {
      clearTimeout(timer);
    }
    // Whoever reads next is told by the read itself.
    socket.on('error', () => {});
    const replica = new ReplicaSocket(where, socket);
    try {
      if (password !== undefined) {
        await replica.must('AUTH', ...(username === undefined ? [] : [username]), password);
      }
      // For the operator's CLIENT LIST. A user with no more than +psync and +replconf may not.
      await replica.ask('CLIENT', 'SETNAME', name);
      return replica;
    } catch (error) {
      replica.close();
      throw error;
    }
  }

  /** @returns the reply's line, an error too (`-ERR …`). @throws cutover.Unreachable */
  async ask(...command: string[]): Promise<string> {
    this.socket.write(
      `*${command.length}\r\n${command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join('')}`,
    );
    return this.line();
  }

  /** @throws cutover.Denied, cutover.Busy, cutover.Invalid as the error that is answered; cutover.Unreachable */
  async must(...command: string[]): Promise<string> {
    const reply = await this.ask(...command);
    if (!reply.startsWith('-')) return reply;
    throw refusal(this.where, command[0] ?? '', reply.slice(1));
  }

  /** The next line with something in it: line feeds alone keep the connection alive. @throws cutover.Unreachable */
  async line(): Promise<string> {
    for (;;) {
      const end = this.rest.indexOf(10);
      if (end >= 0) {
        const line = this.rest.toString('latin1', 0, end).replace(/\r$/, '');
        this.rest = this.rest.subarray(end + 1);
        if (line !== '') return line;
        continue;
      }
      if (this.rest.length > LONGEST_LINE)
        throw permanent(ErrorType.invalid, `${this.where} does not speak Redis’s protocol`);
      const more = await this.read();
      if (!more) throw closed(this.where, 'before it answered');
      this.rest = Buffer.concat([this.rest, more]);
    }
  }

  /** Bytes that have come, undefined at the connection's end. @throws cutover.Unreachable */
  async bytes(): Promise<Buffer | undefined> {
    if (this.rest.length === 0) return this.read();
    const { rest } = this;
    this.rest = Buffer.alloc(0);
    return rest;
  }

  close(): void {
    this.socket.destroy();
  }

  private async read(): Promise<Buffer | undefined> {
    // It runs only while we wait for the server, never while the server waits for us.
    const timer = setTimeout(() => this.socket.destroy(new Error(`nothing came for ${SILENT_MS / 1000} s`)), SILENT_MS);
    try {
      const { value, done } = (await this.chunks.next()) as { value: Buffer | undefined; done?: boolean };
      return done ? undefined : value;
    } catch (error) {
      throw redisFailure(error, this.where);
    } finally {
      clearTimeout(timer);
    }
  }
}

export function closed(where: string, when: string) {
  return transient(ErrorType.replication, `the source ${where} closed the connection ${when}`, {
    afterMs: 5_000,
    remedy:
      'its log says why: a save that failed (no memory for a fork, no room on the disk), repl-timeout, or client-output-buffer-limit replica that is too low',
  });
}

function refusal(where: string, command: string, reply: string): Error {
  if (reply.startsWith('NOPERM')) {
    return permanent(ErrorType.denied, `Redis at ${where} refused ${command}: ${reply}`, {
      remedy: 'give the user what a replica needs: ACL SETUSER <user> +psync +replconf +ping +info +time',
    });
  }
  if (reply.startsWith('NOMASTERLINK')) {
    return transient(ErrorType.busy, `Redis at ${where} is a replica without its primary: ${reply}`, {
      afterMs: 5_000,
    });
  }
  if (/unknown command/i.test(reply)) {
    return permanent(ErrorType.denied, `Redis at ${where} has no ${command}`, {
      remedy: `it is renamed or blocked (a managed service?): take rdb.from type path or ssm, or rename-command ${command} back`,
    });
  }
  return redisFailure(Object.assign(new Error(reply), { name: 'ReplyError' }), where);
}
