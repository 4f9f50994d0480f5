import type { Cloud } from '../cloud.ts';
import type { ImageState } from './state.ts';

/** An image that is always there, of an empty machine: Debian's, as far as anybody can tell. */
export const BASE_IMAGE = 'ami-00000000000deb12a';
export const BASE_SNAPSHOT = 'snap-00000000000deb12a';
const DEBIAN = '136693071363';

/** Kept out of the account's state: it is nobody's. */
function baseImage(): ImageState {
  return {
    id: BASE_IMAGE,
    name: 'debian-12-amd64-sandbox',
    description: 'An empty machine',
    ownerId: DEBIAN,
    isPublic: true,
    state: 'available',
    createdAt: '2026-01-01T00:00:00.000Z',
    visibleFrom: 0,
    takes: 0,
    rootDevice: '/dev/xvda',
    mappings: [
      {
        device: '/dev/xvda',
        snapshotId: BASE_SNAPSHOT,
        size: 8,
        type: 'gp3',
        deleteOnTermination: true,
        encrypted: false,
      },
    ],
    tags: {},
  };
}

/** All images that there are, with the one that is always there. */
export function imagesOf(state: Cloud['store']['state']): Record<string, ImageState> {
  return { [BASE_IMAGE]: baseImage(), ...state.ec2.images };
}
