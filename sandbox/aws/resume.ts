import { setStatus } from './cloud.ts';
import type { Cloud } from './cloud.ts';
import { resumeDms } from './dms/resume.ts';
import { resumeDynamoDb } from './dynamodb/resume.ts';
import { resumeEc2 } from './ec2/resume.ts';
import { resumeSsm } from './ssm/resume.ts';
import { bringUp, tearDown } from './group-lifecycle.ts';
import { startKnownNodes } from './group-nodes.ts';
import { attach, complete, finish } from './migration-work.ts';
import { seedsOnDisk } from './seeds.ts';
import { settleSnapshots } from './snapshot-copying.ts';
import type { GroupState } from './state.ts';

/** Takes up an account where an earlier run of the emulator left it, however that ended. */
export async function resume(cloud: Cloud): Promise<void> {
  settleSnapshots(cloud);
  for (const group of Object.values(cloud.store.state.groups)) await resumeGroup(cloud, group);
  resumeDms(cloud);
  await resumeDynamoDb(cloud);
  await resumeEc2(cloud);
  await resumeSsm(cloud);
}

async function resumeGroup(cloud: Cloud, group: GroupState): Promise<void> {
  const work = (what: string, job: () => Promise<void>): void =>
    cloud.background.run(`${what} ${group.id} again`, group.id, job);
  delete group.replacing;
  if (group.status === 'create-failed' || group.nodes.some((node) => node.status === 'restore-failed')) return;
  if (group.status === 'creating') return work('create', () => bringUp(cloud, group, seedsOnDisk(cloud, group)));
  await startKnownNodes(cloud, group);
  const { migration } = group;
  switch (true) {
    case group.status === 'deleting':
      return work('delete', () => tearDown(cloud, group));
    case migration?.phase === 'attaching':
      return work('attach', () => attach(cloud, group));
    case migration?.phase === 'completing':
      setStatus(cloud, group, 'migrating');
      return work('complete', () => complete(cloud, group, undefined, undefined));
    case migration?.phase === 'promoted':
      return finish(cloud, group);
    case migration?.phase === 'migrating':
      return setStatus(cloud, group, 'migrating');
    default:
      return setStatus(cloud, group, 'available');
  }
}
