import type { Lock, PackageMetadata } from '@sovereign/base';
import type { Composed, GeneratedFile } from '@sovereign/rootfs';

/** A built image, and everything that it was made of. */
export interface BuiltImage {
  service: string;
  /** Version of its main package. */
  version: string;
  image: { name: string; sha256: string; size: number };
  lock: Lock;
  /** What the packages say of themselves, as far as their base tells it. */
  metadata: readonly PackageMetadata[];
  composed: Composed;
  /** Bytes that each file takes in the image, compressed, by path. */
  stored: ReadonlyMap<string, number>;
  /** Files that no package and no overlay brought; programs among them say what they are linked with. */
  files: readonly GeneratedFile[];
}
