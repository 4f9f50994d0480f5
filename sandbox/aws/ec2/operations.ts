import type { OwnService } from '../services.ts';
import { settlePlaces } from './places.ts';
import { belongsElsewhere } from './elsewhere.ts';
import { readEc2, writeEc2 } from './protocol.ts';

/** The places of the schemas in the SDK's schema of an operation. */
const INPUT = 4;
const OUTPUT = 5;

/** Machines, volumes, images, snapshots and their tags. All else (networks) is the other server's. */
export const performEc2: OwnService = async (cloud, { action, form, requestId, forwarder }) => {
  // Loaded when it is first needed: the SDK's schemas of EC2 are large, and most sandboxes have no machines.
  const { OPERATIONS } = await import('./table.ts');
  const operation = Object.hasOwn(OPERATIONS, action) ? OPERATIONS[action] : undefined;
  if (operation === undefined || belongsElsewhere(cloud, action, form)) return undefined;
  const [schema, handler] = operation;
  const input = readEc2(form, schema[INPUT]);
  await settlePlaces(cloud, forwarder);
  const output = await handler(cloud, input as never, forwarder);
  return { body: writeEc2(action, schema[OUTPUT], output, requestId), type: 'text/xml' };
};
