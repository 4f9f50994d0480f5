/**
 * An application that writes Redis through the library, and follows the phases of examples/redis-dual-write.yaml:
 *
 *     node --import tsx examples/dual-write-app.ts
 *
 * In your own project, import from 'cutover/dual-write'. Wire it in before the migration starts: as long as no phase was
 * set it writes the source alone, as your client does now. Ends with Ctrl-C. Servers: SOURCE and TARGET (redis:// URLs),
 * else those of the sandbox.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { DualWriteRedis } from '../client/dual-write/index.ts';

// The clients are patterns: the library makes connections of its own from their options (TLS, AUTH, Cluster as you have it).
const source = new Redis(process.env['SOURCE'] ?? 'redis://127.0.0.1:6390', { lazyConnect: true });
const target = new Redis(process.env['TARGET'] ?? 'redis://127.0.0.1:6391', { lazyConnect: true });

const redis = new DualWriteRedis({
  id: process.env['MIGRATION'] ?? 'shop-redis-dual', // the id in the migration's file
  source,
  target,
  secondWrite: 'record', // what the second side does not take, the migration repairs
});
redis.on('phase', (now) => console.log(`phase ${now.phase}, reads from the ${now.reads}`));
redis.on('secondWriteFailed', ({ command, error }) => console.warn(`${command}: left to the repair: ${String(error)}`));
process.once('SIGINT', () => void redis.close());
process.once('SIGTERM', () => void redis.close());

await redis.ready();
for (let order = 1; ; order++) {
  try {
    // Any command of ioredis, with its types.
    await redis.set(`order:${order % 1_000}`, `placed ${order}`, 'EX', 3_600);
    const counted = await redis
      .multi()
      .incr('orders')
      .hincrby('orders:by-shop', `shop-${order % 7}`, 1)
      .exec();
    if (order % 500 === 0) console.log(`${counted?.[0]?.[1] as number} orders`, redis.status().phase);
  } catch (error) {
    if (!(error instanceof Error) || !error.name.startsWith('DualWrite')) throw error;
    if (error.message.includes('the client was closed')) break;
    // Its `written` says whether the authority has it. Here: told, and on to the next.
    console.warn(error.message);
  }
  await delay(5);
}
