/**
 * A machine like the one that the article on CircleCI's backups is about (the "Services machine"): settings with its
 * addresses in them, an app on port 8800, state of Nomad's that is of no use on another machine, builds one of which was
 * running when the backup was taken, and objects that are kept on the machine itself.
 */
import { randomInt } from 'node:crypto';
import type { MachinesControl } from './control.ts';
import type { SeededMachine } from './seed.ts';
import { APP_COMMAND, APP_SERVER, CIRCLECI, DELETE_BUILD, LIST_BUILDS } from './services-programs.ts';

export interface ServicesMachineOptions {
  name?: string;
  tags?: Record<string, string>;
  /** As configured in the app. Default `circleci.example.com`. */
  hostname?: string;
  /** Debian's /etc/default or Red Hat's /etc/sysconfig. Default debian. */
  distribution?: 'debian' | 'redhat';
  /** Objects on a volume of their own, mounted at /opt/circleci/objects. Default false: on the root volume. */
  objectsVolume?: boolean;
  subnetId?: string;
  securityGroupIds?: string[];
}

export interface ServicesMachine extends SeededMachine {
  hostname: string;
  /** `http://<private address>:8800/`: answers 200 with JSON when the app is well, 503 with the reason when it is not. */
  url: string;
  /** The addresses of builds; the last is one that was running. */
  builds: string[];
}

/** Files with the machine's addresses in them, which another machine must change. */
const ADDRESS_FILES = {
  debian: ['/etc/default/replicated', '/etc/default/replicated-operator'],
  redhat: ['/etc/sysconfig/replicated', '/etc/sysconfig/replicated-operator'],
} as const;

/** Makes it and starts its app. */
export async function seedServicesMachine(
  control: MachinesControl,
  options: ServicesMachineOptions = {},
): Promise<ServicesMachine> {
  const { name = 'circleci-services', hostname = 'circleci.example.com', distribution = 'debian' } = options;
  const [privateIp, publicIp] = [drawn(), drawn()];
  const builds = [1234, 1235, 1236].map((number) => `https://${hostname}/gh/my-org/my-project/${number}`);
  const machine = await control.create({
    name,
    tags: options.tags ?? {},
    privateIp,
    publicIp,
    files: filesOf({ hostname, distribution, privateIp, publicIp, builds }),
    volumes: options.objectsVolume === true ? [{ mount: '/opt/circleci/objects' }] : [],
    ...(options.subnetId === undefined ? {} : { subnetId: options.subnetId }),
    ...(options.securityGroupIds === undefined ? {} : { securityGroupIds: options.securityGroupIds }),
  });
  const started = await control.run(machine.instanceId, '/usr/local/bin/app start');
  if (started.code !== 0) throw new Error(`The app of ${name} does not start: ${started.stdout}${started.stderr}`);
  return { ...machine, hostname, url: `http://${privateIp}:8800/`, builds };
}

function drawn(): string {
  return `127.${randomInt(1, 255)}.${randomInt(0, 255)}.${randomInt(2, 255)}`;
}

interface Facts {
  hostname: string;
  distribution: 'debian' | 'redhat';
  privateIp: string;
  publicIp: string;
  builds: string[];
}

function filesOf({
  hostname,
  distribution,
  privateIp,
  publicIp,
  builds,
}: Facts): Record<string, string | { content: string; mode: number }> {
  const [settings, operator] = ADDRESS_FILES[distribution];
  const program = (content: string) => ({ content, mode: 0o755 });
  // Another machine's address that only begins like ours: it must stay as it is.
  const neighbour = `${privateIp}9`;
  return {
    [settings]: `# Replicated, the app's manager
PRIVATE_ADDRESS=${privateIp}
PUBLIC_ADDRESS=${publicIp}
REPLICATED_OPTS="--log-level=info --bind=${privateIp}:9874"
SKIP_OPERATOR_INSTALL=0
`,
    [operator]: `DAEMON_ENDPOINT=${privateIp}:9879
PRIVATE_ADDRESS=${privateIp}
OPERATOR_ID=services
PEERS="${neighbour} http://${privateIp}:9879/"
`,
    '/etc/circleci/app.conf': `HOSTNAME=${hostname}
SETTINGS=${settings}
STORAGE=local
STORAGE_PATH=/opt/circleci/objects
`,
    '/etc/rc.local': program(
      '#!/bin/bash\n# Started with the machine, whatever its settings say.\n/usr/local/bin/app start\n',
    ),
    '/opt/nomad/server/raft/peers.json': `["${privateIp}:4647"]\n`,
    '/opt/nomad/client/client-id': 'f3a1c2d4-0000-4000-8000-000000000001\n',
    '/opt/circleci/objects/artifacts/1234/report.xml': '<testsuite tests="3"/>\n',
    '/opt/circleci/objects/cache/gems.tar': 'cached\n',
    '/usr/local/lib/app/server.pl': APP_SERVER,
    '/usr/local/bin/app': program(APP_COMMAND),
    '/usr/local/bin/list-builds': program(LIST_BUILDS),
    '/usr/local/bin/delete-build': program(DELETE_BUILD),
    '/usr/local/bin/circleci': program(CIRCLECI),
    ...Object.fromEntries(
      builds.map((url, i) => [
        `/var/lib/circleci/builds/${url.split('/').at(-1) ?? ''}`,
        `url=${url}\nstatus=${i === builds.length - 1 ? 'running' : 'success'}\n`,
      ]),
    ),
  };
}
