/** An application of its own process: writes as fast as it can through the library until it is killed. Arguments: JSON. */
import { DualWriteRedis } from '../../client/dual-write/index.ts';

const { id, source, target } = JSON.parse(process.argv[2] ?? '{}') as {
  id: string;
  source: { host: string; port: number };
  target: { host: string; port: number };
};
const dual = new DualWriteRedis({ id, source, target });
await dual.ready();
for (let round = 0; ; round++) {
  const writes: Promise<unknown>[] = [];
  for (let key = 0; key < 20; key++) {
    writes.push(dual.set(`k${key}`, `${round}`), dual.incr(`n${key}`));
    writes.push(dual.multi().rpush(`l${key}`, `${round}`).incr(`m${key}`).exec());
  }
  await Promise.all(writes);
  process.stdout.write(`${round}\n`);
}
