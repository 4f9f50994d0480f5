/** Connections to Redis and Valkey servers. One per activity, never reconnecting: an activity is retried as a whole. */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { Redis, type RedisOptions } from 'ioredis';
import { ErrorType } from '../../spec/errors.ts';
import type { RedisEndpoint } from '../../spec/values.ts';
import { permanent, transient } from '../errors.ts';
import { resolveSecret } from '../secrets/resolve.ts';

export interface ConnectOptions {
  /** CLIENT SETNAME, so that an operator sees who is connected, and a later attempt can end an earlier one's. */
  name: string;
  /** How long connecting, and then each command, may take, in ms. */
  timeoutMs?: number;
  db?: number;
}

const CONNECT_TIMEOUT_MS = 5_000;

type PlainOptions = Omit<RedisOptions, 'replyMapping'>;

/**
 * Options of a connection that never reconnects by itself: a command that was sent on a lost connection must fail, not be
 * sent again to a server that may have been promoted or restarted meanwhile.
 * @throws cutover.Secret
 */
export async function redisOptions(endpoint: RedisEndpoint, options: ConnectOptions): Promise<PlainOptions> {
  const timeout = options.timeoutMs ?? CONNECT_TIMEOUT_MS;
  const password = endpoint.password ? await resolveSecret(endpoint.password) : undefined;
  return {
    host: endpoint.host,
    port: endpoint.port,
    // A source may be older than Redis 6, and the compare reads RESP2.
    protocol: 2,
    lazyConnect: true,
    connectTimeout: timeout,
    commandTimeout: timeout,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectionName: options.name,
    db: options.db ?? 0,
    ...(endpoint.username ? { username: endpoint.username } : {}),
    ...(password === undefined ? {} : { password }),
    ...(endpoint.tls ? { tls: await tlsOptions(endpoint) } : {}),
  };
}

/**
 * Connects, and proves it with PING.
 * @throws cutover.Unreachable (retried), cutover.Denied (wrong or missing password, missing permission), cutover.Secret
 */
export async function connectRedis(endpoint: RedisEndpoint, options: ConnectOptions): Promise<Redis> {
  const where = `${endpoint.host}:${endpoint.port}`;
  const redis = new Redis(await redisOptions(endpoint, options));
  let lastError: Error | undefined;
  redis.on('error', (error: Error) => (lastError = error));
  try {
    await redis.connect();
    await redis.ping();
    return redis;
  } catch (error) {
    redis.disconnect();
    throw redisFailure(lastError ?? error, where);
  }
}

/**
 * Runs `use` with a connection and closes it, whatever happens.
 */
export async function withRedis<T>(
  endpoint: RedisEndpoint,
  options: ConnectOptions,
  use: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = await connectRedis(endpoint, options);
  try {
    return await use(redis);
  } catch (error) {
    throw redisFailure(error, `${endpoint.host}:${endpoint.port}`);
  } finally {
    redis.disconnect();
  }
}

async function tlsOptions(endpoint: RedisEndpoint) {
  const tls = typeof endpoint.tls === 'object' ? endpoint.tls : {};
  return {
    // An IP address is no server name (RFC 6066), and Node warns where it is given as one.
    ...(tls.serverName || isIP(endpoint.host) === 0 ? { servername: tls.serverName ?? endpoint.host } : {}),
    ...(tls.ca ? { ca: await readFile(tls.ca, 'utf8') } : {}),
  };
}

const DENIED = /^(WRONGPASS|NOAUTH|NOPERM|ERR invalid password|ERR AUTH|DENIED)|without any password configured/i;
const PASSING = /^(LOADING|BUSY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN)/;

/** Translates an error of ioredis or of the server into one of ours; ours pass as they are. */
export function redisFailure(error: unknown, where: string): Error {
  if (!(error instanceof Error) || error.name === 'ApplicationFailure' || error.name === 'CancelledFailure') {
    return error as Error;
  }
  const text = error.message;
  if (DENIED.test(text)) {
    return permanent(ErrorType.denied, `Redis at ${where} refused us: ${text}`, {
      remedy:
        'check username and password in the file, and that the ACL user may run the commands in docs/redis-online.md',
    });
  }
  if (PASSING.test(text)) return transient(ErrorType.busy, `Redis at ${where} is busy: ${text}`, { afterMs: 2_000 });
  if (error.name === 'ReplyError') return permanent(ErrorType.invalid, `Redis at ${where} answered: ${text}`);
  return transient(ErrorType.unreachable, `Redis at ${where} can't be reached: ${text}`, {
    remedy: `is it up, and may the worker connect to ${where}?`,
  });
}
