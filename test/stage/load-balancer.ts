/**
 * What stands around the article's Redash, in moto: an ECS service that runs its tasks, and a load balancer with a rule that
 * goes to the old machine. Moto carries no traffic; what is asked for and read back is real.
 */
import { join } from 'node:path';
import { CreateSubnetCommand, CreateVpcCommand, EC2Client, RunInstancesCommand } from '@aws-sdk/client-ec2';
import {
  CreateClusterCommand,
  CreateServiceCommand,
  DescribeServicesCommand,
  ECSClient,
  RegisterTaskDefinitionCommand,
} from '@aws-sdk/client-ecs';
import {
  CreateListenerCommand,
  CreateLoadBalancerCommand,
  CreateRuleCommand,
  CreateTargetGroupCommand,
  DescribeRulesCommand,
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
  RegisterTargetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { freePort } from '../../sandbox/runtime/ports.ts';
import { startProcess } from '../../sandbox/runtime/process.ts';
import { serverEnvironment } from '../../sandbox/runtime/server-environment.ts';
import { ensureTool } from '../../sandbox/runtime/tools.ts';
import type { Stage } from './stage.ts';

/** What each ECS service of this moto runs: without it a service that wants tasks never becomes stable there. */
const RUNNING_TASKS = 2;
const REGION = 'us-east-1';

/** @returns its address */
export async function startMotoWithTasks(stage: Stage): Promise<string> {
  const tool = await ensureTool('moto');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const running = await startProcess({
    name: `moto:${port}`,
    command: tool.path,
    args: [...tool.args, '-H', '127.0.0.1', '-p', String(port)],
    env: serverEnvironment({ MOTO_ECS_SERVICE_RUNNING: String(RUNNING_TASKS) }),
    cwd: stage.dir,
    logFile: join(stage.dir, 'moto.log'),
    ready: async () => (await fetch(`${url}/moto-api/data.json`, { signal: AbortSignal.timeout(5_000) })).ok,
  });
  stage.endLater(running, () => running.stop());
  return url;
}

export interface Surroundings {
  cluster: string;
  service: string;
  /** Of the listener's rule, which goes to the old target group. */
  rule: string;
  oldGroup: string;
  newGroup: string;
  oldMachine: string;
  /** As they are now: `redash:2`, an ARN, instance ids. */
  now(): Promise<{ taskDefinition: string; ruleGoesTo: string; oldTargets: string[] }>;
}

/** Everything as it is before the switch: the service with its first task definition, the rule to the old machine. */
export async function furnishSurroundings(stage: Stage, endpoint: string): Promise<Surroundings> {
  const config = { endpoint, region: REGION, credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' } };
  const [ec2, elb, ecs] = [new EC2Client(config), new ElasticLoadBalancingV2Client(config), new ECSClient(config)];
  for (const client of [ec2, elb, ecs]) stage.endLater(client, async () => client.destroy());

  const VpcId = (await ec2.send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16' }))).Vpc!.VpcId!;
  const Subnets: string[] = [];
  for (const [zone, CidrBlock] of [
    ['a', '10.0.1.0/24'],
    ['b', '10.0.2.0/24'],
  ] as const) {
    const AvailabilityZone = `${REGION}${zone}`;
    const made = await ec2.send(new CreateSubnetCommand({ VpcId, CidrBlock, AvailabilityZone }));
    Subnets.push(made.Subnet!.SubnetId!);
  }
  const machines = await ec2.send(new RunInstancesCommand({ ImageId: 'ami-12c6146b', MinCount: 2, MaxCount: 2 }));
  const [oldMachine = '', newMachine = ''] = machines.Instances!.map(({ InstanceId }) => InstanceId!);
  const group = async (Name: string, id: string) => {
    const made = await elb.send(new CreateTargetGroupCommand({ Name, Protocol: 'HTTP', Port: 80, VpcId }));
    const TargetGroupArn = made.TargetGroups![0]!.TargetGroupArn!;
    await elb.send(new RegisterTargetsCommand({ TargetGroupArn, Targets: [{ Id: id }] }));
    return TargetGroupArn;
  };
  const [oldGroup, newGroup] = [await group('redash-ec2', oldMachine), await group('redash-ecs', newMachine)];
  const balancer = await elb.send(new CreateLoadBalancerCommand({ Name: 'redash', Subnets }));
  const listener = await elb.send(
    new CreateListenerCommand({
      LoadBalancerArn: balancer.LoadBalancers![0]!.LoadBalancerArn,
      Protocol: 'HTTP',
      Port: 80,
      DefaultActions: [{ Type: 'fixed-response', FixedResponseConfig: { StatusCode: '404' } }],
    }),
  );
  const ruled = await elb.send(
    new CreateRuleCommand({
      ListenerArn: listener.Listeners![0]!.ListenerArn,
      Priority: 1,
      Conditions: [{ Field: 'host-header', Values: ['redash.example.com'] }],
      Actions: [{ Type: 'forward', TargetGroupArn: oldGroup }],
    }),
  );
  const rule = ruled.Rules![0]!.RuleArn!;

  const [cluster, service] = ['redash', 'web'];
  await ecs.send(new CreateClusterCommand({ clusterName: cluster }));
  for (const image of ['redash:ec2', 'redash:rds']) {
    const containerDefinitions = [{ name: 'web', image, memory: 64 }];
    await ecs.send(new RegisterTaskDefinitionCommand({ family: 'redash', containerDefinitions }));
  }
  const first = { cluster, serviceName: service, taskDefinition: 'redash:1', desiredCount: RUNNING_TASKS };
  await ecs.send(new CreateServiceCommand(first));

  return {
    cluster,
    service,
    rule,
    oldGroup,
    newGroup,
    oldMachine,
    now: async () => {
      const { services } = await ecs.send(new DescribeServicesCommand({ cluster, services: [service] }));
      const { Rules } = await elb.send(new DescribeRulesCommand({ RuleArns: [rule] }));
      const health = await elb.send(new DescribeTargetHealthCommand({ TargetGroupArn: oldGroup }));
      const staying = health.TargetHealthDescriptions!.filter(({ TargetHealth }) => TargetHealth?.State !== 'draining');
      return {
        taskDefinition: services![0]!.taskDefinition!.split('/').at(-1)!,
        ruleGoesTo: Rules![0]!.Actions![0]!.TargetGroupArn!,
        oldTargets: staying.map(({ Target }) => Target!.Id!),
      };
    },
  };
}
