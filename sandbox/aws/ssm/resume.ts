import type { Cloud } from '../cloud.ts';
import { carryOut, end } from './invocation.ts';

/** Takes up what was under way when the sandbox ended. What ran in a machine ended with it. */
export async function resumeSsm(cloud: Cloud): Promise<void> {
  for (const command of Object.values(cloud.store.state.ssm.commands)) {
    for (const invocation of Object.values(command.invocations)) {
      if (invocation.status === 'Pending') carryOut(cloud, command, invocation.instanceId);
      if (invocation.status === 'Cancelling') end(cloud, invocation, 'Cancelled', 'Cancelled');
      if (invocation.status !== 'InProgress') continue;
      invocation.code = 1;
      invocation.stderr = 'The machine was restarted while the command ran.';
      end(cloud, invocation, 'Failed', 'Failed');
    }
  }
}
