import {
  AttachVolume$,
  CreateImage$,
  CreateSnapshot$,
  CreateSnapshots$,
  CreateTags$,
  CreateVolume$,
  DeleteSnapshot$,
  DeleteTags$,
  DeleteVolume$,
  DeregisterImage$,
  DescribeImages$,
  DescribeInstanceAttribute$,
  DescribeInstanceStatus$,
  DescribeInstances$,
  DescribeSnapshots$,
  DescribeTags$,
  DescribeVolumes$,
  DetachVolume$,
  ModifyInstanceAttribute$,
  RebootInstances$,
  RegisterImage$,
  RunInstances$,
  StartInstances$,
  StopInstances$,
  TerminateInstances$,
} from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import type { Forwarder } from '../forwarding.ts';
import { createImage, deregisterImage, registerImage } from './image-making.ts';
import { describeImages } from './images.ts';
import { describeInstanceAttribute, modifyInstanceAttribute } from './instance-attributes.ts';
import { describeInstanceStatus } from './instance-status.ts';
import { describeInstances, rebootInstances, startInstances, stopInstances, terminateInstances } from './instances.ts';
import { runInstances } from './run-instances.ts';
import { createSnapshot, createSnapshots, deleteSnapshot, describeSnapshots } from './snapshots.ts';
import { createTags, deleteTags, describeTags } from './tags.ts';
import { attachVolume, createVolume, deleteVolume, describeVolumes, detachVolume } from './volumes.ts';

type Handler = (cloud: Cloud, input: never, forwarder: Forwarder) => object | Promise<object>;

/** The SDK's schema of each call that is answered here, and who answers it. */
export const OPERATIONS: Readonly<Record<string, readonly [readonly unknown[], Handler]>> = {
  RunInstances: [RunInstances$, runInstances],
  DescribeInstances: [DescribeInstances$, describeInstances],
  DescribeInstanceStatus: [DescribeInstanceStatus$, describeInstanceStatus],
  DescribeInstanceAttribute: [DescribeInstanceAttribute$, describeInstanceAttribute],
  ModifyInstanceAttribute: [ModifyInstanceAttribute$, modifyInstanceAttribute],
  StartInstances: [StartInstances$, startInstances],
  StopInstances: [StopInstances$, stopInstances],
  RebootInstances: [RebootInstances$, rebootInstances],
  TerminateInstances: [TerminateInstances$, terminateInstances],
  CreateImage: [CreateImage$, createImage],
  RegisterImage: [RegisterImage$, registerImage],
  DescribeImages: [DescribeImages$, describeImages],
  DeregisterImage: [DeregisterImage$, deregisterImage],
  CreateSnapshot: [CreateSnapshot$, createSnapshot],
  CreateSnapshots: [CreateSnapshots$, createSnapshots],
  DescribeSnapshots: [DescribeSnapshots$, describeSnapshots],
  DeleteSnapshot: [DeleteSnapshot$, deleteSnapshot],
  CreateVolume: [CreateVolume$, createVolume],
  DescribeVolumes: [DescribeVolumes$, describeVolumes],
  AttachVolume: [AttachVolume$, attachVolume],
  DetachVolume: [DetachVolume$, detachVolume],
  DeleteVolume: [DeleteVolume$, deleteVolume],
  CreateTags: [CreateTags$, createTags],
  DeleteTags: [DeleteTags$, deleteTags],
  DescribeTags: [DescribeTags$, describeTags],
};
