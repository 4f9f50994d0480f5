/** A sandbox on a host that does not let machines be kept apart. Says how commands are refused, and that files are copied all the same. */
import { startMachinesRig, launch, refusal, send, takeImage } from './sandbox-machines-setup.ts';

const outside = process.argv[2] ?? '';
const rig = await startMachinesRig();
const { machines } = rig.aws.control;
// Would run on the host, were a machine run without being kept apart.
const script = `touch ${outside}/made`;
const { instanceId } = await machines.create({
  name: 'unbound',
  files: { '/etc/motd': 'hello\n', '/etc/rc.local': { content: `#!/bin/bash\n${script}\n`, mode: 0o755 } },
});
const sent = await refusal(send(rig, instanceId, [script]));
const ran = await refusal(machines.run(instanceId, script));
const image = await takeImage(rig, instanceId, 'unbound-1');
const copy = await launch(rig, image.ImageId ?? '');
const copied = machines.readFile(copy.InstanceId ?? '', '/etc/motd');
await rig.end();
process.stdout.write(JSON.stringify({ sent, ran, copied }));
