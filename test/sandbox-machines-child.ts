/** A sandbox with a machine in which a program runs, to be killed from outside. Says what to look for in /proc. */
import { startAws } from '../sandbox/aws/index.ts';

const aws = await startAws({ dir: process.argv[2] ?? '', redisServer: '/nonexistent' });
const { instanceId } = await aws.control.machines.create({ name: 'orphan' });
const mark = `7654${process.pid}`;
await aws.control.machines.run(instanceId, `setsid sleep ${mark} </dev/null >/dev/null 2>&1 & setsid sleep ${mark} &`);
console.log(mark);
