import { canonicalJson, sha256 } from '@sovereign/store';
import { z } from 'zod';
import { bases, type ServiceDefinition } from './definition.ts';
import type { ManifestOf } from './manifest.ts';

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const blob = z.strictObject({ sha256: digest, size: z.int().nonnegative() });

/** Version of the line protocol between guest agent and launcher (docs/formats.md, "Control channel"). */
export const CONTROL_PROTOCOL = 1;
/** Version of the layout of the config disk. */
export const CONFIG_SCHEMA = 1;

const fields = {
  service: z.string(),
  base: z.enum(bases),
  version: z.string(),
  kernel: blob,
  root: blob,
  agent: z.strictObject({ sha256: digest }),
  data: z.strictObject({ kind: z.string(), major: z.int(), collation: z.string() }),
  resources: z.strictObject({ memory: z.int(), cpus: z.int() }),
  controlProtocol: z.literal(CONTROL_PROTOCOL),
  configSchema: z.literal(CONFIG_SCHEMA),
};

/**
 * `release.json`: everything that decides what runs, by digest; canonical JSON without times or paths. Schema 1 is
 * what devices hold that were deployed to before guests had a network of their own.
 */
export const releaseSchema = z.discriminatedUnion('schema', [
  z.strictObject({ schema: z.literal(1), ...fields, network: z.undefined().optional() }),
  z.strictObject({
    schema: z.literal(2),
    ...fields,
    /** Programs of the device's own network, by its architecture. */
    network: z.strictObject({ gvproxy: z.strictObject({ amd64: blob, arm64: blob }) }),
  }),
]);

export type Release = z.output<typeof releaseSchema>;

export interface BuiltArtifacts {
  kernel: ManifestOf<'kernel'>;
  root: ManifestOf<'root'>;
  agent: ManifestOf<'agent'>;
  network: ManifestOf<'network'>;
}

/** A release as it is made today. */
export type NewRelease = Extract<Release, { schema: 2 }>;

export function makeRelease(
  definition: ServiceDefinition,
  { kernel, root, agent, network }: BuiltArtifacts,
): NewRelease {
  const blobOf = ({ sha256, size }: z.output<typeof blob>) => ({ sha256, size });
  const { kind, major, collation } = definition.data;
  return {
    schema: 2,
    service: definition.name,
    base: root.base,
    version: root.version,
    kernel: blobOf(kernel.image),
    root: blobOf(root.image),
    agent: { sha256: agent.bundle.sha256 },
    network: {
      gvproxy: { amd64: blobOf(network.gvproxy.amd64), arm64: blobOf(network.gvproxy.arm64) },
    },
    data: { kind, major, collation },
    resources: definition.resources,
    controlProtocol: CONTROL_PROTOCOL,
    configSchema: CONFIG_SCHEMA,
  };
}

/**
 * Names the format that the data has once this release has started on it, without blanks. Releases with the same one can
 * take each other's data; another one is tried on a copy (docs/formats.md, "Trial").
 */
export function dataFormat({ data }: Pick<ServiceDefinition, 'data'>, release: Release): string {
  const { kind, major } = release.data;
  return [kind, major, ...(data.changes === 'version' ? [release.version] : [])]
    .join('-')
    .replaceAll(/\s/g, '_');
}

/** By what the data of two releases differs, so that neither takes the other's; undefined where it does not. */
export const differentData = (
  now: Release['data'],
  next: Release['data'],
): keyof Release['data'] | undefined =>
  (['kind', 'major', 'collation'] as const).find((key) => now[key] !== next[key]);

/** The release's id: SHA-256 of its canonical JSON. */
export const releaseId = (release: Release): string => sha256(canonicalJson(release));
