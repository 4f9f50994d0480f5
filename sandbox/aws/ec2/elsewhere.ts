import type { Cloud } from '../cloud.ts';

/** Example images that the other server (moto) has: its machines serve where only a machine's name is wanted. */
const OTHERS_IMAGES: ReadonlySet<string> = new Set(['ami-12c6146b', 'ami-03cf127a', 'ami-1234abcd']);
const OURS = /^(i|vol|snap|ami)-/;

/**
 * Whether a call is about machines of the other server: a start from one of its images, or ids none of which is ours when
 * there are such machines, or tags of things that we do not have at all.
 */
export function belongsElsewhere(cloud: Cloud, action: string, form: ReadonlyMap<string, string>): boolean {
  const state = cloud.store.state.ec2;
  if (action === 'RunInstances') {
    if (!OTHERS_IMAGES.has(form.get('ImageId') ?? '')) return false;
    state.elsewhere = true;
    cloud.store.save();
    return true;
  }
  const ids = [...form].filter(([key]) => /^(ResourceId|InstanceId)(\.\d+)?$/.test(key)).map(([, value]) => value);
  if (ids.length === 0) return false;
  const known = [state.instances, state.volumes, state.snapshots, state.images];
  if (ids.some((id) => known.some((things) => things[id] !== undefined))) return false;
  return state.elsewhere || ids.every((id) => !OURS.test(id));
}
