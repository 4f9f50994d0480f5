/** Histories of `redis-offline`: a restore that failed at first, no fence, an abort at the gate. */
import { fillRedis } from '../../sandbox/app/fill.ts';
import { OfflineScene } from '../redis-offline-stage.ts';
import { atGate, isDone, untilStatus, type Stage } from '../stage/stage.ts';
import type { Recordings } from './write-history.ts';

/** On a stage of its own: its AWS has both a real Redis and moto behind it. */
export async function openRedisOffline(): Promise<{ stage: Stage; recordings: Recordings }> {
  const scene = await OfflineScene.open();
  return { stage: scene.stage, recordings: recordingsOf(scene) };
}

function recordingsOf(scene: OfflineScene): Recordings {
  const { aws, stage } = scene;
  const offline = async (id: string, more: Record<string, unknown>) => {
    const source = await stage.redis();
    await fillRedis({ host: source.host, port: source.port, keys: 50 });
    return (await scene.start(id, source, more)).handle;
  };
  return {
    'redis-offline-failed-then-done': async () => {
      const off = aws.control.onCall('CreateReplicationGroup', 'after', () => {
        aws.control.failNext({ action: 'DescribeReplicationGroups', code: 'AccessDenied', times: 1 });
      });
      const handle = await offline('replay-offline', {
        rdb: { from: { type: 'path' } },
        cutover: { gate: 'auto' },
        switch: [{ type: 'command', run: ['true'] }],
        soak: '1s',
      });
      await untilStatus(handle, 'it can not be looked at', (s) => s.phase === 'needs-operator');
      off();
      await handle.retry({ by: 'test' });
      await untilStatus(handle, 'the gate is ready', atGate);
      await handle.approve({ by: 'test' });
      await untilStatus(handle, 'done', isDone);
      return handle.id;
    },
    'redis-offline-unfenced-done': async () => {
      const handle = await offline('replay-unfenced', { fence: false, gate: 'auto' });
      await untilStatus(handle, 'done', isDone);
      return handle.id;
    },
    'redis-offline-aborted': async () => {
      const handle = await offline('replay-offline-aborted', {});
      await untilStatus(handle, 'the gate is ready', atGate);
      await handle.abort({ by: 'test', reason: 'recorded' });
      await untilStatus(handle, 'aborted', (s) => s.phase === 'aborted');
      return handle.id;
    },
  };
}
